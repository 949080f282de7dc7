"""Use cases: each takes its part of the world through the fleet, the store and the forge."""
