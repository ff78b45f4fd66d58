"""What tests do first in a mount namespace of their own."""

from __future__ import annotations

UNMOUNT_OTHERS = "umount --all --lazy --types fuse.vfs --internal-only || true"
"""The copies of what others have mounted go: one keeps its daemon alive, and a dead one is told of by `vfs status`."""
