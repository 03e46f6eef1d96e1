"""Augmentations of training batches on the device.

Each augmentation draws its random numbers first and then applies them, which lets tests fix the draws.
"""
