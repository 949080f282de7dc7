"""Schema of the journal and what is beside it, one folder per database."""
