"""Python that a tracer cannot follow."""
