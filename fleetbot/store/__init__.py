"""The journal and everything kept beside it: the only place with SQL."""
