"""Losses of the main head.

Each is an nn.Module from logits (batch, classes) and labels (batch,) to a scalar.
"""
