"""Typed recipes: the dataclasses that define every setting, and the way from YAML and overrides to them."""

from mmfm.config.load import dump, load, to_yaml

__all__ = ["dump", "load", "to_yaml"]
