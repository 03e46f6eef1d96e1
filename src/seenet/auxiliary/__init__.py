"""Auxiliary tasks: each owns its head, its loss and its share of the prediction."""
