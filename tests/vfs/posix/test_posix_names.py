"""Applied to a plain directory and to mounts of each kind of storage: names."""

from vfs.testing.conformance.names import *
