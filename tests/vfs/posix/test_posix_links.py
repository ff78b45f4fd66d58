"""Applied to a plain directory and to mounts of each kind of storage: links."""

from vfs.testing.conformance.links import *
