"""Child processes: how they are started, bounded, contained and ended."""
