"""Forms that every engine reads alike."""
