"""Repositories of the forge on this machine, and the runner's own git."""
