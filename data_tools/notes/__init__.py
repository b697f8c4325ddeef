"""Synthetic clinical notes: what writes them, where they are kept, and what of them is true."""
