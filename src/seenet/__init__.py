"""SeeNet: speech emotion recognition experiments that Hydra composes and Lightning runs."""

__version__ = "0.1.0"
