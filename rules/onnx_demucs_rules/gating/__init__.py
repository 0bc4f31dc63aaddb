"""Rules about gates: products with a sigmoid."""
