"""One agent program at work: the contract, the driver, the clocks."""
