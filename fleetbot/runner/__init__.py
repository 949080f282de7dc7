"""The daemon on a work machine: it hosts agents, runs their programs and reports what they did."""
