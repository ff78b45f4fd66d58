"""Real servers for tests: each starts on a free port of loopback when a test first asks for it, and ends with the run.

A *server* (`S3Server`, `Azurite`, `GCSServer`, `SFTPServer`, `FTPServer`, `WebDAVServer`) hands out *spaces*: a bucket,
a container or a folder that is empty and nobody else's. A space has what a backend needs to reach it (`opendal`,
`fsspec`, `django`), and is the second client of a test: `put`, `get`, `delete` and `keys` reach what is stored past
everything under test. `space.at(proxy.port)` is the same space through a `Proxy`, which breaks what a test wants
broken.

`fixtures` makes all of them fixtures: `s3_bucket`, `s3_server` and so on, and `proxied`.
"""
