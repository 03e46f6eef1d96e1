"""Pretrained speech encoders through transformers.

In: waveforms and lengths. Out: frames and a frame mask. The fast layers give the outputs of transformers' own layers.
"""
