"""What every storage must do, whatever stands behind it: directories, links and attributes."""

from __future__ import annotations

import os
import stat

import pytest

from storage import ContentFile, DirectoryNotEmptyError, Kind, Storage
from storage.testing.conformance.traits import Traits, names, only_if, put, read


class TestDirectories:
    def test_mkdir_and_rmdir(self, storage: Storage, traits: Traits) -> None:
        with only_if(traits.directories):
            storage.mkdir("d", mode=0o751)
            storage.mkdir("d/e")
            assert not traits.native or storage.stat("d").mode == 0o751
            assert (names(storage), names(storage, "d")) == ((["d"], []), (["e"], []))
            with pytest.raises(FileExistsError):
                storage.mkdir("d")
            with pytest.raises(FileNotFoundError):
                storage.mkdir("missing/d")
            with pytest.raises(DirectoryNotEmptyError):
                storage.rmdir("d")
            storage.rmdir("d/e")
            assert names(storage, "d") == ([], [])
            storage.rmdir("d")
            assert names(storage) == ([], [])

    def test_rmdir_needs_a_directory(self, storage: Storage, traits: Traits) -> None:
        put(storage, "file")
        with only_if(traits.directories):
            with pytest.raises(NotADirectoryError):
                storage.rmdir("file")
            with pytest.raises(FileNotFoundError):
                storage.rmdir("missing")

    def test_a_directory_is_renamed_with_all_in_it(self, storage: Storage, traits: Traits) -> None:
        put(storage, "a/b/f", b"x")
        if traits.directories:
            storage.mkdir("empty")
        storage.rename("a", "empty")
        assert read(storage, "empty/b/f") == b"x"
        assert storage.exists("a") == traits.emptied

    def test_renaming_a_directory_has_posix_s_errors(self, storage: Storage) -> None:
        put(storage, "a/b/f")
        put(storage, "full/f")
        put(storage, "file")
        with pytest.raises(OSError, match="Invalid argument"):
            storage.rename("a", "a/b/inside")
        with pytest.raises(DirectoryNotEmptyError):
            storage.rename("a", "full")
        with pytest.raises(NotADirectoryError):
            storage.rename("a", "file")
        with pytest.raises(IsADirectoryError):
            storage.rename("file", "full")
        assert names(storage) == (["a", "full"], ["file"])
        storage.rename("a", "moved")
        assert read(storage, "moved/b/f") == b"content"
        assert not storage.exists("a/b/f")

    def test_nlink_counts_subdirectories(self, storage: Storage, traits: Traits) -> None:
        put(storage, "d/f")
        before = storage.stat("d").nlink
        assert traits.native == (before is not None)
        put(storage, "d/e/f")
        after = storage.stat("d").nlink
        assert after == before or after == (before or 0) + 1  # btrfs and overlays say 1 of every directory


class TestLinksAndSpecialFiles:
    def test_a_symbolic_link_is_kept_as_it_is(self, storage: Storage, traits: Traits) -> None:
        put(storage, "dir/f", b"x")
        with only_if(traits.native):
            storage.symlink("dir", "link")
            assert storage.readlink("link") == "dir"
            assert storage.stat("link").kind is Kind.SYMLINK
            assert storage.stat("link").size == 3
            with pytest.raises(FileExistsError):
                storage.symlink("other", "link")

    def test_the_extended_surface_follows_no_link(self, storage: Storage, traits: Traits) -> None:
        put(storage, "dir/f", b"x")
        with only_if(traits.native):
            storage.symlink("dir", "link")
            with pytest.raises(NotADirectoryError):
                storage.stat("link/f")
            with pytest.raises(NotADirectoryError):
                list(storage.scandir("link"))
            with pytest.raises(NotADirectoryError):
                storage.create("link/new")
            storage.unlink("link")
            assert read(storage, "dir/f") == b"x"

    def test_django_s_surface_follows_links_inside(self, storage: Storage, traits: Traits) -> None:
        put(storage, "dir/f", b"x")
        with only_if(traits.native):
            storage.symlink("dir", "link")
            storage.symlink("link/f", "to_file")
            storage.symlink("nowhere", "dangling")
            assert read(storage, "link/f") == read(storage, "to_file") == b"x"
            assert storage.size("to_file") == 1
            assert storage.exists("dangling")
            assert names(storage, "link") == ([], ["f"])
            assert names(storage) == (["dir", "link"], ["dangling", "to_file"])

    def test_a_hard_link_is_the_same_file(self, storage: Storage, traits: Traits) -> None:
        put(storage, "dir/a", b"shared")
        with only_if(traits.native):
            storage.link("dir/a", "b")
            a, b = storage.stat("dir/a"), storage.stat("b")
            assert (a.identity, a.nlink) == (b.identity, 2)
            storage.unlink("dir/a")
            assert (read(storage, "b"), storage.stat("b").nlink) == (b"shared", 1)
            with pytest.raises(PermissionError):
                storage.link("dir", "c")
            with pytest.raises(FileExistsError):
                storage.link("b", "dir")

    def test_special_files(self, storage: Storage, traits: Traits) -> None:
        with only_if(traits.native):
            storage.mknod("pipe", stat.S_IFIFO | 0o640)
            storage.mknod("regular", stat.S_IFREG | 0o600)
            pipe, regular = storage.stat("pipe"), storage.stat("regular")
            assert (pipe.kind, pipe.mode) == (Kind.FIFO, 0o640)
            assert (regular.kind, regular.mode, regular.size) == (Kind.FILE, 0o600, 0)


class TestAttributesOfEntries:
    def test_create_gives_exactly_the_mode(self, storage: Storage, traits: Traits) -> None:
        with only_if(traits.native):
            with storage.create("f", mode=0o666) as file:
                file.write(b"written")
            assert storage.stat("f").mode == 0o666
            assert read(storage, "f") == b"written"
            with pytest.raises(FileExistsError):
                storage.create("f")
            with pytest.raises(FileNotFoundError):
                storage.create("missing/f")

    def test_set_attributes(self, storage: Storage, traits: Traits) -> None:
        put(storage, "f")
        with only_if(traits.native):
            storage.set_attributes("f", mode=0o4711, uid=os.getuid(), atime_ns=1_000_000_001, mtime_ns=2_000_000_002)
            entry = storage.stat("f")
            assert (entry.mode, entry.uid, entry.atime_ns, entry.mtime_ns) == (
                0o4711, os.getuid(), 1_000_000_001, 2_000_000_002,
            )  # fmt: skip
            storage.set_attributes("f", mtime_ns=-1)
            assert storage.stat("f")[:4] == (*entry[:3], -1)
            assert storage.stat("f").atime_ns == 1_000_000_001

    def test_replace_keeps_mode_and_makes_another_file(self, storage: Storage, traits: Traits) -> None:
        put(storage, "f")
        with only_if(traits.native):
            storage.set_attributes("f", mode=0o750)
            old = storage.stat("f")
            new = storage.replace("f", ContentFile(b"new"))
            assert (new.mode, new.uid, new.gid) == (0o750, old.uid, old.gid)
            assert new.identity != old.identity

    def test_rename_keeps_the_identity(self, storage: Storage, traits: Traits) -> None:
        put(storage, "a")
        before = storage.stat("a").identity
        storage.rename("a", "b")
        assert traits.native == (before is not None)
        assert storage.stat("b").identity == before

    def test_extended_attributes(self, storage: Storage, traits: Traits) -> None:
        put(storage, "f")
        with only_if(traits.xattrs):
            storage.setxattr("f", "user.one", b"1")
            storage.setxattr("f", "user.two", b"\0\xff")
            assert storage.getxattr("f", "user.two") == b"\0\xff"
            assert {"user.one", "user.two"} <= set(storage.listxattr("f"))
            storage.removexattr("f", "user.one")
            for missing in (storage.getxattr, storage.removexattr):
                with pytest.raises(OSError, match=r"No data|Attribute not found"):
                    missing("f", "user.one")

    def test_any_bytes_make_a_name(self, storage: Storage, traits: Traits) -> None:
        wild = [b"\xff\xfe", b"back\\slash", b"\xe9t\xe9", bytes(range(1, 47)), b"n" * 255]
        with only_if(traits.native):
            for raw in wild:
                storage.create(os.fsdecode(raw)).close()
            assert {os.fsencode(entry.name) for entry in storage.scandir()} == set(wild)

    def test_a_name_of_256_bytes_is_too_long(self, storage: Storage, traits: Traits) -> None:
        with only_if(traits.native):
            for name in ("n" * 256, "é" * 128):
                with pytest.raises(OSError, match="name too long"):
                    storage.create(name)
