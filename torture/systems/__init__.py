"""Plugs: each makes one system under test playable by the kit."""
