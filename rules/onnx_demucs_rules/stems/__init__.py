"""Which stems come out, and nothing computed for those that do not."""
