"""The embedded synthetic corpus.

A formant synthesizer speaks with prosody that depends on the emotion. Its figures say nothing about real speech.
"""
