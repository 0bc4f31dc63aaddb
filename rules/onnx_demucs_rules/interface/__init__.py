"""What the artefact's inputs and outputs are called."""
