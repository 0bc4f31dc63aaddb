"""Rules about convolutions."""
