"""Rules about the storage of constants."""
