"""Builds PyTorch from source for exactly your GPUs, and the images that stand on it."""

__version__ = "0.1.0"
