"""auxiliary."""
