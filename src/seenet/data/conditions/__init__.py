"""Test conditions: what is done to the clips of a test fold.

Conditions never touch training, so a new one tests finished trainings without retraining.
"""
