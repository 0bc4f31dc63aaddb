"""The names of the artifact's inputs and outputs."""
