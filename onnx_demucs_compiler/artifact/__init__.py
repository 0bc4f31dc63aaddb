"""The compiled model, its metadata, and the writing of both."""
