"""Applied to a plain directory and to mounts of each kind of storage: attributes."""

from vfs.testing.conformance.attributes import *
