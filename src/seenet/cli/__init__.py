"""Console scripts: Hydra, arguments, and errors as one line."""
