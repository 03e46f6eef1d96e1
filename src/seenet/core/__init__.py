"""Tools that every room uses and that know nothing of speech.

Errors, console output, paths, atomic writes, locks, seeds, process ranks, and the step from a YAML node to an object.
"""
