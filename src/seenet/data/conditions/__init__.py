"""Test conditions: changes to the clips of a test part.

Conditions never change training, so a new condition tests trained folds without retraining.
"""
