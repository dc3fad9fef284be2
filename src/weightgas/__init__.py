"""Thermodynamics of neural-network training."""
