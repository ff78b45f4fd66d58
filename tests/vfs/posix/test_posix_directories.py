"""Applied to a plain directory and to mounts of each kind of storage: directories."""

from vfs.testing.conformance.directories import *
