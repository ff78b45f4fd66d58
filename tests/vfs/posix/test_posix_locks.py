"""Applied to a plain directory and to mounts of each kind of storage: locks."""

from vfs.testing.conformance.locks import *
