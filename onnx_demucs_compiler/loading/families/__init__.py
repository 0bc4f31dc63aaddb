"""Families of models, each with all that belongs to it alone."""
