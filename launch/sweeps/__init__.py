"""Sweeps: one command for many combinations of values."""
