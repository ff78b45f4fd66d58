"""The commands: each is called as its module."""
