"""Everything that is done to torch for the time of a trace."""
