"""Matrix rooms: what people say to the fleet, and what it says to them."""
