"""Augmentations of training batches on the device.

Each draws its random numbers first and then applies them; tests freeze the draws.
"""
