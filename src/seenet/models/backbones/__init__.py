"""Pretrained speech encoders through transformers.

In: waveforms and lengths. Out: frames and a frame mask. The fast layers equal the layers of transformers in output.
"""
