"""The names of a mount: its tree of nodes, what the storage lists, and how names are made, changed and removed."""
