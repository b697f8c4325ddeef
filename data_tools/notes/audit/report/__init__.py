"""The audit as one HTML page: score cards, subgroups, and notes beside their images with what was found."""
