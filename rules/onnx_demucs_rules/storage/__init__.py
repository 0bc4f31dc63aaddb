"""How constants are stored."""
