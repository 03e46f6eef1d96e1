"""Batches on the device.

In: a fold and its waveforms. Out: padded batches, augmented for training or changed by a test condition for tests.
"""
