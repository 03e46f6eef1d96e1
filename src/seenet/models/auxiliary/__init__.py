"""Auxiliary tasks.

Each owns its head, its loss and its share of the prediction.
"""
