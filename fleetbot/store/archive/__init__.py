"""The journal's archive: its oldest lines in files, so that the database need not keep them all."""
