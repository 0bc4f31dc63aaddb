"""Fidelity: references, gates, and the search for weights to keep precise."""
