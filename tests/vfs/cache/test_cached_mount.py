"""Reading a remote storage through a mount: what it costs, how fresh it is, and how much memory it takes."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path

import pytest
from buckets import BucketServer, ServeBucket

from vfs.testing.place import failing, opened

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BELIEVED = "attr_timeout=60,entry_timeout=60"


def put_sparse(server: BucketServer, name: str, size: int) -> None:
    """A huge object that takes no room."""
    with open(server.bucket.objects.path / name, "wb") as file:  # type: ignore[attr-defined]
        file.truncate(size)


def change(server: BucketServer, name: str, content: bytes) -> None:
    """Another client stores an object, at a later time than before."""
    before = server.bucket.objects.get(name, ("v0", None))[0]
    while True:
        server.bucket.put(name, content)
        if server.bucket.objects[name][0] != before:
            return


def peak(server: BucketServer) -> int:
    """The most memory that the daemon ever had, in bytes."""
    assert server.daemon is not None
    words = Path(f"/proc/{server.daemon.pid}/status").read_text().split()
    return int(words[words.index("VmHWM:") + 1]) * KIB


class TestWhatItCosts:
    def test_the_ends_of_a_huge_object(self, serve_bucket: ServeBucket) -> None:
        server = serve_bucket()
        put_sparse(server, "huge", 5 * GIB)
        with opened(server.mountpoint / "huge", os.O_RDONLY) as fd:
            assert os.pread(fd, 10, 0) == bytes(10)
            assert os.pread(fd, 10, 5 * GIB - 10) == bytes(10)
        assert server.fetched() <= 512 * KIB

    def test_random_reads(self, serve_bucket: ServeBucket) -> None:
        server, chance = serve_bucket(), random.Random(2)
        put_sparse(server, "huge", 5 * GIB)
        with opened(server.mountpoint / "huge", os.O_RDONLY) as fd:
            for _ in range(300):
                os.pread(fd, 64 * KIB, chance.randrange(5 * GIB // 512) * 512)
        assert 300 * 64 * KIB <= server.fetched() <= 1.3 * 300 * 64 * KIB

    def test_a_listing_with_attributes_is_one_request(self, serve_bucket: ServeBucket) -> None:
        server = serve_bucket()
        for number in range(200):
            server.bucket.put(f"d/{number}", b"x" * number)
        shown = {entry.name: entry.stat().st_size for entry in os.scandir(server.mountpoint / "d")}
        assert shown == {str(number): number for number in range(200)}
        counts = server.counts()
        assert counts["list"] == 1
        assert counts["head"] <= 2

    def test_small_objects_cost_a_get_each(self, serve_bucket: ServeBucket) -> None:
        server = serve_bucket()
        for number in range(50):
            server.bucket.put(f"d/{number}", b"%d" % number * 1000)
        for path in (server.mountpoint / "d").iterdir():
            assert path.read_bytes() == path.name.encode() * 1000
        counts = server.counts()
        assert (counts["get"], counts["list"]) == (50, 1)
        assert counts["head"] <= 2

    def test_a_changed_part_of_a_large_object(self, serve_bucket: ServeBucket) -> None:
        server, content = serve_bucket(), random.Random(3).randbytes(16 * MIB)
        server.bucket.put("large", content)
        with opened(server.mountpoint / "large", os.O_RDWR) as fd:
            os.pwrite(fd, b"new", 5 * MIB)
            os.pwrite(fd, b"end", 16 * MIB)
            assert server.fetched() == 0
            assert os.pread(fd, 4096, 5 * MIB) == b"new" + content[5 * MIB + 3 : 5 * MIB + 4096]
            assert server.fetched() <= 512 * KIB
            os.pwrite(fd, bytes(8 * MIB), 6 * MIB)
        assert server.fetched() <= 8 * MIB, "what was overwritten is not fetched"
        expected = bytearray(content + b"end")
        expected[5 * MIB : 5 * MIB + 3] = b"new"
        expected[6 * MIB : 14 * MIB] = bytes(8 * MIB)
        assert server.bucket.objects["large"][1].read(17 * MIB, 0) == expected

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is Linux's to tell")
    def test_a_huge_object_read_by_many_takes_no_more_memory_than_the_budget(self, serve_bucket: ServeBucket) -> None:
        server = serve_bucket("cache_memory=16M")
        put_sparse(server, "huge", GIB)
        before = peak(server)
        readers = "for i in 0 1 2 3; do dd if=huge of=/dev/null bs=1M skip=$((i * 256)) count=256 & done; wait"
        assert os.system(f"cd {server.mountpoint} && ({readers}) 2>/dev/null") == 0
        assert server.fetched() <= GIB + 32 * MIB, "at most what is ahead of each at the end"
        assert peak(server) - before <= 16 * MIB + 48 * MIB  # and what is on its way from there and to the kernel


class TestHowFreshItIs:
    def test_what_another_has_changed_is_seen_after_the_timeout(self, serve_bucket: ServeBucket) -> None:
        server = serve_bucket("attr_timeout=0.3,entry_timeout=0.3")
        server.bucket.put("f", b"old")
        with opened(server.mountpoint / "f", os.O_RDONLY):  # and somebody holds the old one open
            assert (server.mountpoint / "f").read_bytes() == b"old"
            for content in (b"newer, and longer", b"short", b"SHORT"):
                change(server, "f", content)
                time.sleep(0.7)
                assert (server.mountpoint / "f").read_bytes() == content

    def test_who_reads_what_has_changed_gets_estale_and_may_open_it_again(self, serve_bucket: ServeBucket) -> None:
        server = serve_bucket(BELIEVED)
        server.bucket.put("f", b"1" * 4 * MIB)
        with opened(server.mountpoint / "f", os.O_RDWR) as fd:
            assert os.pread(fd, 4096, 0) == b"1" * 4096
            change(server, "f", b"2" * 5 * MIB)
            with failing(errno.ESTALE):
                os.pread(fd, 4096, 3 * MIB)
            if server.transport == "kernel":
                assert (server.mountpoint / "f").read_bytes() == b"2" * 5 * MIB
                with failing(errno.ESTALE):
                    os.pwrite(fd, b"x", 0)

    def test_a_refresh_forgets_names_attributes_and_what_was_missing(self, serve_bucket: ServeBucket) -> None:
        server = serve_bucket(BELIEVED)
        server.bucket.put("d/f", b"old")
        server.bucket.put("e/f", b"old")
        top = server.mountpoint
        assert os.listdir(top / "d") == ["f"]
        assert [(top / name / "f").read_bytes() for name in "de"] == [b"old", b"old"]
        assert not (top / "d" / "g").exists()
        for name in ("d/f", "e/f", "d/g"):
            change(server, name, b"newer")
        if server.transport == "kernel":  # libfuse forgets attributes by itself
            assert [(top / name / "f").stat().st_size for name in "de"] == [3, 3]
            assert not (top / "d" / "g").exists()
            server.run("refresh", str(top), str(top / "d"))
            assert (top / "e" / "f").stat().st_size == 3
            assert (top / "d" / "f").read_bytes() == b"newer"
            assert sorted(os.listdir(top / "d")) == ["f", "g"]
            server.run("refresh", str(top), "e/f")
            assert (top / "e" / "f").read_bytes() == b"newer"
            del server.bucket.objects["e/f"]
            server.run("refresh", str(top))
            assert not (top / "e" / "f").exists()
        else:
            server.run("refresh", str(top))
            assert (top / "d" / "f").read_bytes() == b"newer"


class TestOnDisk:
    def test_the_next_mount_has_what_was_read(self, serve_bucket: ServeBucket, tmp_path: Path) -> None:
        options = f"cache_dir={tmp_path / 'cache'},cache_size=100M"
        server, content = serve_bucket(options), random.Random(4).randbytes(12 * MIB)
        server.bucket.put("large", content)
        server.bucket.put("small", b"content")
        assert (server.mountpoint / "large").read_bytes() == content
        assert (server.mountpoint / "small").read_bytes() == b"content"
        server.unmount()
        for path in (tmp_path / "cache").rglob("*"):
            assert path.stat().st_mode & 0o077 == 0
        again = serve_bucket(options)
        assert (again.mountpoint / "large").read_bytes() == content
        assert (again.mountpoint / "small").read_bytes() == b"content"
        assert again.fetched() == 0
        assert "on disk" in again.run("status", str(again.mountpoint)).stdout
        change(again, "small", b"changed")
        again.unmount()
        last = serve_bucket(options)
        assert (last.mountpoint / "small").read_bytes() == b"changed"
        last.unmount()

    def test_a_killed_daemon_leaves_nothing_wrong(self, serve_bucket: ServeBucket, tmp_path: Path) -> None:
        options = f"cache_dir={tmp_path / 'cache'}"
        content = random.Random(5).randbytes(32 * MIB)
        for size in (1, 5, 17):
            server = serve_bucket(options)
            if "large" not in server.bucket.objects:
                server.bucket.put("large", content)
            with opened(server.mountpoint / "large", os.O_RDONLY) as fd:
                assert os.pread(fd, size * MIB, 0) == content[: size * MIB]
            assert server.daemon is not None
            os.kill(server.daemon.pid, signal.SIGKILL)
            server.daemon.wait_for_end(10)
            server.run("unmount", str(server.mountpoint))
        server = serve_bucket(options)
        assert (server.mountpoint / "large").read_bytes() == content

    def test_two_mounts_do_not_share_a_folder(self, serve_bucket: ServeBucket, tmp_path: Path) -> None:
        server = serve_bucket(f"cache_dir={tmp_path / 'cache'}")
        other = tmp_path / "mnt"
        other.mkdir()
        done = server.run("mount", "bucket", str(other), "--cache-dir", str(tmp_path / "cache"), check=False)
        assert done.returncode == 1
        assert "is used by another mount" in done.stderr
