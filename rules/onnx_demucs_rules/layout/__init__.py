"""The order in which tensors lie in memory."""
