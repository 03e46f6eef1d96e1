"""Test conditions: what is done to the clips of a test fold."""
