"""Augmentations of a training batch, on the device."""
