"""Observation of a compile: dumps, blame, and the report page."""
