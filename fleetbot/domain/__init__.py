"""The rules of the fleet: pure values and functions; no I/O, clock, chance or logging."""
