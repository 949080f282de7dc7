"""`fleetbot setup`: from three servers to a working fleet, and back again."""
