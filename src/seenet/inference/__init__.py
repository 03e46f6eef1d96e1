"""Trained models on recordings, from a bundle alone.

In: the folder of a trained fold and audio. Out: class probabilities. It needs no corpus and no training code.
"""
