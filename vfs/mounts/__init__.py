"""The life of a mount: its options, its mountpoint, its daemon, and how commands speak with that."""
