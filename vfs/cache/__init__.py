"""The cache of what is read of a remote storage: pieces of objects in memory and on disk, fetched before their time.

What is cached. An object's *content* is known by its name and version, so what is in the cache is never stale: another
version is another content, of which nothing is known yet. Versions that are the second of a change and a size would
tell too little of what is written here and now, so what the storage object itself changes is forgotten. Which version a
name has is not decided here, but by the attributes that the mount believes (vfs.names.lookups). A fetch is pinned to
the version: where the object has changed, it fails (ESTALE), and bytes of two versions never meet.

What is fetched. A content is held as *pieces*, runs of bytes of any length that do not overlap. So the length of a
request is a matter of policy and not of the store:

- What nobody expected is fetched as it was asked for, rounded to pages: a random read costs what it reads, and the last
  bytes of a huge object cost a page. A small object is fetched whole, for the way there and back is what costs.
- A read that begins where an earlier one has ended continues a *run*. As much as the run is long already is then
  fetched ahead of it, in aligned blocks that grow with it, several at once. A run that ends has so cost no more than
  once its length in vain; random reads make no runs, and fetch nothing ahead.

A piece is in the store from the moment when its fetch is decided. Who needs it too waits for it, so nothing is fetched
twice; what a read lacks is fetched by the reader itself, what is ahead of it by a pool of few threads.

What is kept. Pieces in memory are within a budget, those on their way included: room is made by dropping what was not
used for the longest time, of whatever object. Where all is on its way, a reader waits for room, and nothing is fetched
ahead. What is ahead and unread has half of the budget at most. On disk (vfs.cache.disk) is whatever was fetched, within
a budget of its own, for this mount and the next.

Locks: one for all of it, `Memory.lock`, held for a few instructions and never while anything is fetched.
"""

from vfs.cache.blocks import BlockCache, CachedFile, steps
from vfs.cache.disk import DiskCache

__all__ = ("BlockCache", "CachedFile", "DiskCache", "steps")
