"""Tutelage raises an assistant by the feedback of people (Bai et al., arXiv:2204.05862)."""

__version__ = "0.1.0"
