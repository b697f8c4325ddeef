"""Patches: corrections of known label errors in published tables, each with its reason."""

from data_tools.patches.apply import apply_patches, told_patches
from data_tools.patches.patch import BUILTIN, PATCHED, Patch, load_patches

__all__ = ["BUILTIN", "PATCHED", "Patch", "apply_patches", "load_patches", "told_patches"]
