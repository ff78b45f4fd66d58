"""Applied to a plain directory and to mounts of each kind of storage: content."""

from vfs.testing.conformance.content import *
