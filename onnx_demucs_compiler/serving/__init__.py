"""Folders from which servers serve a model; one file, one server."""
