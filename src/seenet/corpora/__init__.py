"""Corpora on disk to utterances, waveforms and folds.

In: a corpus folder or table. Out: a manifest (one row per utterance), a memory-mapped waveform store, folds and the
leak audit.
"""
