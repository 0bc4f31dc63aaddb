"""Whole tracks in one call."""
