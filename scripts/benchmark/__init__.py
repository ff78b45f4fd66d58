"""Measures what a mount costs, beside its peers, the same folders without FUSE, and the best that C reaches.

How it is measured. A *place* is a directory: a mount of ours or of a peer, or a plain folder. A *piece* of work is done
in a place by a process of its own, with the rights of the place's user: it prepares what it needs, waits while root
drops the kernel's caches where the piece is cold, and only then looks at the clock. Pieces that share files form a
group. In each round all places are mounted anew, and group by group every place has its turn, so that whatever else the
machine does meets all of them alike; a figure is the median of its rounds, a ratio is one of two such medians.
A daemon's CPU time is read from the kernel in nanoseconds, before and after a piece, when it has come to rest.

Modules: `work` (the pieces, by `files`, `data`, `trees`), `places` and `peers` (what is mounted, and how), `bare` (FUSE
passthrough with nothing behind it), `worker` (one piece in its process), `runner` (rounds), `samples` (medians),
`targets`, `report`, `picture`, `machine`, and `scale` (a million files). `__main__` is the command line.
"""
