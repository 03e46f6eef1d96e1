"""Scores of predictions.

In: labels, predictions and speakers. Out: UA, WA and macro-F1, calibration, and intervals and tests over clusters.
"""
