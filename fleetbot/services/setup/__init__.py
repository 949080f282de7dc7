"""Connecting a repository with a room, step by step: found out, offered, done, taken back."""
