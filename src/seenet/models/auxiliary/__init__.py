"""Auxiliary tasks.

Each task owns its head, its loss and its contribution to the prediction.
"""
