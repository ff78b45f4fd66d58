"""Applied to a plain directory and to mounts of each kind of storage: mappings."""

from vfs.testing.conformance.mappings import *
