"""One run, from the assignment to the verdict on its receipt."""
