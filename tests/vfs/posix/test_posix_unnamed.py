"""Applied to a plain directory and to mounts of each kind of storage: unnamed."""

from vfs.testing.conformance.unnamed import *
