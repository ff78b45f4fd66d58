"""The contents of open nodes: read in place, fetched from the storage, or written to the spool."""
