"""Audio and video files to waveforms.

In: a path and an excerpt. Out: float32 mono samples at 16 kHz, with remarks on defects.
"""
