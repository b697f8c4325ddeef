"""Objectives over the features of the two towers."""
