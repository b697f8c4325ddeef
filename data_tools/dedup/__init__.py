"""Near-duplicate images: searching for them, and listing those of a recipe."""

from data_tools.dedup.search import check, difference_hash, find_duplicates, hash_images, near_pairs

__all__ = ["check", "difference_hash", "find_duplicates", "hash_images", "near_pairs"]
