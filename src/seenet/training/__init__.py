"""A composed configuration to trained and tested folds.

In: the configuration. Out: checkpoints, curves and results in the folder of the run.
"""
