"""Training: many small networks at once, under one of the three protocols, recorded as a trace."""

from weightgas.training.run import train

__all__ = ["train"]
