"""Migrations for SQLite, applied by yoyo in the order of their names."""
