"""Conversion of corpora on disk to utterances, waveforms and folds.

Input: a folder or table of a corpus. Output: a manifest (one row per utterance), a memory-mapped waveform store, folds
and the leak audit.
"""
