"""What the board shows: the fleet at a glance, its tasks page by page, and their stories."""
