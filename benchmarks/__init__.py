"""Measurements against anchors; each prints its table."""
