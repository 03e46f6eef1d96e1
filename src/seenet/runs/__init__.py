"""The folder of a run: its identity, its files and their schema.

In: a configuration and what a fold produced. Out: result.json, predictions.csv, checkpoints, and their reuse.
"""
