"""Applied to a plain directory and to mounts of each kind of storage: opening."""

from vfs.testing.conformance.opening import *
