"""The scaling benchmark: runs of several sizes, their numbers and their picture."""
