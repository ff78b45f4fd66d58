"""Applied to a plain directory and to mounts of each kind of storage: ranges."""

from vfs.testing.conformance.ranges import *
