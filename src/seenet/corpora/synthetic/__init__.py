"""Synthetic corpus for demonstrations and tests.

A formant synthesizer generates speech with prosody that depends on the emotion. Results say nothing about real speech.
"""
