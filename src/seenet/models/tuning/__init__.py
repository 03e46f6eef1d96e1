"""Tuning modes: which parameters of a backbone are trained.

In: a backbone with an encoder of transformers as `model`. Out: the same backbone, changed in place.
"""
