"""Forgejo: webhook payloads (pure) and the REST client."""
