"""General utilities that every room uses and that are independent of speech.

Errors, console output, paths, atomic writes, locks, seeds, process ranks, stop signals and checked instantiation.
"""
