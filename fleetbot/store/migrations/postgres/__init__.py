"""Migrations for Postgres, applied by yoyo in the order of their names."""
