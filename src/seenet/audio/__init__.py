"""Decoding of audio and video files to waveforms.

Input: a path and an excerpt. Output: float32 mono samples at 16 kHz, and remarks on defects.
"""
