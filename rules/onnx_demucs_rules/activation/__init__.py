"""Rules about activation functions."""
