"""A torture kit for orchestrators that turn issues into pull requests; it knows none of them.

See README.md here. Only `torture.systems` may import what is tortured.
"""
