"""The verbs of FileSystem, called as a transport calls them, over each kind of storage."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel import IN_PLACE, Verbs, files_here, filesystem_of, nodes_of

from storage import InMemoryStorage
from storage.base import RENAME_EXCHANGE, RENAME_NOREPLACE
from storage.names import join_name
from vfs.callers import same_process
from vfs.filesystem import FileSystem
from vfs.names import tree as tree_module
from vfs.names.attributes import Policy
from vfs.names.lookups import supports
from vfs.verbs.attributes import UNKNOWN_SIZE

W = os.O_CREAT | os.O_RDWR


def fails(code: int, call: Callable[..., object], *args: object) -> None:
    """The call ends in an OSError with this errno."""
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == code, f"{caught.value!r} instead of {errno.errorcode[code]}"


def keeps_nodes(verbs: Verbs) -> bool:
    """Whether the storage has links and other things than files and directories."""
    return verbs.filesystem.names.real_directories


class TestLookup:
    def test_a_lookup_is_counted_and_taken_back(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        filesystem = verbs.filesystem
        node, attributes = filesystem.lookup(filesystem.root, "f")
        assert (node.lookups, attributes.size, attributes.ino) == (1, 7, node.ino)
        assert filesystem.lookup(filesystem.root, "f")[0] is node
        filesystem.forget(node, 2)
        assert node.lookups == 0

    def test_what_is_missing_and_what_is_below_a_file(self, verbs: Verbs) -> None:
        verbs.put("f", b"")
        fails(errno.ENOENT, verbs.stat, "missing")
        fails(errno.ENOENT, verbs.stat, "missing/below")
        fails(errno.ENOTDIR, verbs.stat, "f/below")

    def test_names_that_cannot_be(self, verbs: Verbs) -> None:
        root = verbs.filesystem.root
        for name, code in (("a" * 256, errno.ENAMETOOLONG), ("..", errno.EINVAL), ("a/b", errno.EINVAL)):
            fails(code, verbs.filesystem.lookup, root, name)
            fails(code, verbs.filesystem.mkdir, root, name, 0o755, verbs.caller)
            fails(code, verbs.filesystem.create, root, name, 0o644, W, verbs.caller)
            fails(code, verbs.filesystem.unlink, root, name)
            fails(code, verbs.filesystem.rmdir, root, name)
            fails(code, verbs.filesystem.rename, root, "missing", root, name)

    def test_names_of_any_bytes_come_back(self, verbs: Verbs) -> None:
        names = {"x" * 255, "ü", os.fsdecode(b"\xff\xfe"), "new\nline", " ", "%41", "-rf", "~", "\u202egpj"}
        for name in names:
            verbs.put(name, b"")
        assert set(verbs.listdir("")) == names

    def test_memory_holds_no_more_nodes_than_are_known(self, verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree_module, "IDLE_LIMIT", 5)
        for number in range(20):
            verbs.put(f"f{number}", b"")
        keeping = sum(node.pinned or node.renumbered for node in nodes_of(verbs.filesystem.tree))
        assert len(verbs.filesystem.tree) - keeping <= 6
        numbers = {name: verbs.stat(name).ino for name in verbs.listdir("")}
        assert numbers == {name: verbs.stat(name).ino for name in verbs.listdir("")}


class TestAttributes:
    def test_they_are_those_of_the_caller_who_made_it(self, verbs: Verbs) -> None:
        verbs.caller = verbs.caller._replace(uid=os.getuid() or 1234, gid=os.getgid())
        fd = verbs.open("f", W, 0o640)
        verbs.mkdir("d")
        assert (verbs.fstat(fd).mode, verbs.fstat(fd).uid) == (stat.S_IFREG | 0o640, verbs.caller.uid)
        verbs.close(fd)
        assert (verbs.stat("f").mode, verbs.stat("f").uid) == (stat.S_IFREG | 0o640, verbs.caller.uid)
        assert (verbs.stat("d").mode, verbs.stat("d").uid) == (stat.S_IFDIR | 0o755, verbs.caller.uid)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_the_group_of_a_set_group_id_directory_is_inherited(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        with verbs.at("d") as node:
            verbs.filesystem.setattr(node, gid=4321)
            verbs.filesystem.setattr(node, mode=0o2775)
        verbs.put("d/f", b"")
        verbs.mkdir("d/e")
        assert (verbs.stat("d/f").gid, verbs.stat("d/e").gid) == (4321, 4321)
        assert verbs.stat("d/e").mode & stat.S_ISGID

    @pytest.mark.parametrize("state", ["closed", "open", "unsaved"])
    def test_they_change_and_hold(self, verbs: Verbs, state: str) -> None:
        verbs.put("f", b"content")
        fd = verbs.open("f", os.O_RDWR) if state != "closed" else None
        if fd is not None and state == "unsaved":
            verbs.write(fd, b"more", 7)
        with verbs.at("f") as node:
            shown = verbs.filesystem.setattr(node, mode=0o600, atime_ns=10**18 + 1000, mtime_ns=10**18 + 2000)
        for attributes in (shown, verbs.stat("f")):
            assert (stat.S_IMODE(attributes.mode), attributes.mtime_ns) == (0o600, 10**18 + 2000)
            assert attributes.atime_ns == 10**18 + 1000
        if fd is not None:
            verbs.close(fd)
        assert (stat.S_IMODE(verbs.stat("f").mode), verbs.stat("f").mtime_ns) == (0o600, 10**18 + 2000)

    def test_a_size_is_set_with_and_without_a_handle(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        verbs.truncate("f", 3)
        assert verbs.get("f") == b"con"
        verbs.truncate("f", 5)
        assert (verbs.get("f"), verbs.stat("f").size) == (b"con\0\0", 5)
        fd = verbs.open("f", os.O_RDWR)
        verbs.ftruncate(fd, 1)
        assert (verbs.fstat(fd).size, verbs.stat("f").size) == (1, 1)

    def test_inode_numbers_hold_through_saves_and_renames(self, verbs: Verbs) -> None:
        verbs.put("f", b"1")
        with verbs.at("f"):  # the kernel knows it
            number = verbs.stat("f").ino
            verbs.put("f", b"22")
            assert verbs.stat("f").ino == number
            verbs.rename("f", "g")
            assert verbs.stat("g").ino == number
            verbs.put("f", b"another")
            assert verbs.stat("f").ino != number

    def test_a_listing_shows_the_numbers_that_stat_shows(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        verbs.put("f", b"1")
        fd = verbs.open("unsaved", W)
        verbs.write(fd, b"22", 0)
        entries = {entry.name: entry.attributes for entry in verbs.filesystem.readdir(verbs.filesystem.root)}
        assert {name: shown.ino for name, shown in entries.items()} == {
            name: verbs.stat(name).ino for name in ("d", "f", "unsaved")
        }
        assert (entries["unsaved"].size, stat.S_ISDIR(entries["d"].mode)) == (2, True)

    def test_options_go_before_what_the_storage_says(self, tmp_path: Path) -> None:
        verbs = Verbs(FileSystem(InMemoryStorage(), policy=Policy(uid=7, gid=8, umask=0o077)))
        verbs.put("f", b"")
        assert (verbs.stat("f").mode, verbs.stat("f").uid, verbs.stat("f").gid) == (stat.S_IFREG | 0o600, 7, 8)


class TestDirectories:
    def test_they_are_made_listed_and_removed(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        verbs.mkdir("d/e")
        verbs.put("d/f", b"")
        assert sorted(verbs.listdir("d")) == ["e", "f"]
        fails(errno.EEXIST, verbs.mkdir, "d")
        fails(errno.ENOTEMPTY, verbs.rmdir, "d")
        verbs.unlink("d/f")
        verbs.rmdir("d/e")
        verbs.rmdir("d")
        assert verbs.listdir("") == []
        fails(errno.ENOENT, verbs.rmdir, "d")

    def test_what_is_no_directory_is_not_removed_as_one(self, verbs: Verbs) -> None:
        verbs.put("f", b"")
        verbs.mkdir("d")
        fails(errno.ENOTDIR, verbs.rmdir, "f")
        fails(errno.EISDIR, verbs.unlink, "d")
        assert sorted(verbs.listdir("")) == ["d", "f"]


class TestCreate:
    def test_an_exclusive_one_fails_where_a_file_is(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        create, root = verbs.filesystem.create, verbs.filesystem.root
        fails(errno.EEXIST, create, root, "f", 0o644, W | os.O_EXCL, verbs.caller)
        node, attributes, handle = create(root, "f", 0o644, W, verbs.caller)
        assert (attributes.size, verbs.filesystem.read(handle, 99, 0)) == (7, b"content")
        verbs.filesystem.release(handle)
        verbs.filesystem.forget(node)

    def test_a_handle_does_only_what_it_was_opened_for(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        fails(errno.EBADF, verbs.write, verbs.open("f", os.O_RDONLY), b"x", 0)
        fails(errno.EBADF, verbs.read, verbs.open("f", os.O_WRONLY), 1, 0)

    def test_appends_go_to_the_true_end(self, verbs: Verbs) -> None:
        verbs.put("f", b"one")
        fd = verbs.open("f", os.O_WRONLY | os.O_APPEND)
        verbs.write(fd, b"two", 0)
        verbs.write(fd, b"three", 1)
        verbs.close(fd)
        assert verbs.get("f") == b"onetwothree"

    def test_a_mapped_page_has_its_place_even_where_the_handle_appends(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        fd = verbs.open("f", os.O_RDWR | os.O_APPEND)
        verbs.filesystem.write(verbs.handle(fd), b"C", 0, mapped=True)
        assert verbs.read(fd, 99, 0) == b"Content"

    def test_what_is_no_file_is_not_opened(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        fails(errno.EISDIR, verbs.open, "d", os.O_RDWR)

    def test_what_has_lost_its_name_since_it_was_looked_up_is_stale(self, verbs: Verbs) -> None:
        """ESTALE makes the kernel look again, so that a file which is being replaced is there at every moment."""
        filesystem = verbs.filesystem
        verbs.put("f", b"old")
        verbs.put("new", b"new")
        with verbs.at("f") as node:
            verbs.rename("new", "f")
            with pytest.raises(OSError) as caught:
                filesystem.open(node, os.O_RDONLY, verbs.caller)
        assert caught.value.errno == errno.ESTALE
        if supports(filesystem.storage, "symlink"):
            verbs.symlink("x", "link")
            with verbs.at("link") as node:
                verbs.unlink("link")
                with pytest.raises(OSError) as caught:
                    filesystem.readlink(node)
            assert caught.value.errno == errno.ESTALE
        assert verbs.get("f") == b"new"

    def test_a_regular_file_by_mknod(self, verbs: Verbs) -> None:
        filesystem = verbs.filesystem
        filesystem.forget(filesystem.mknod(filesystem.root, "f", stat.S_IFREG | 0o600, 0, verbs.caller)[0])
        assert (verbs.stat("f").mode, verbs.get("f"), files_here(filesystem)) == (stat.S_IFREG | 0o600, b"", 0)

    def test_links_and_nodes_are_kept_or_refused(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        filesystem = verbs.filesystem
        if not keeps_nodes(verbs):
            fails(errno.EPERM, verbs.symlink, "f", "s")
            fails(errno.EPERM, filesystem.mknod, filesystem.root, "p", stat.S_IFIFO | 0o600, 0, verbs.caller)
            assert verbs.listdir("") == ["f"]
            return
        verbs.symlink("f", "s")
        filesystem.forget(filesystem.mknod(filesystem.root, "p", stat.S_IFIFO | 0o600, 0, verbs.caller)[0])
        assert verbs.readlink("s") == "f"
        assert (stat.S_IFMT(verbs.stat("p").mode), stat.S_IFMT(verbs.stat("s").mode)) == (stat.S_IFIFO, stat.S_IFLNK)
        fails(errno.ENXIO, verbs.open, "p", os.O_RDONLY)

    def test_a_hard_link_shows_what_the_other_name_gets_or_is_refused(self, verbs: Verbs) -> None:
        fd = verbs.open("f", W)
        if not verbs.filesystem.storage.in_place:
            fails(errno.EPERM, verbs.link, "f", "l")
            return
        verbs.link("f", "l")
        verbs.write(fd, b"content", 0)
        assert (verbs.get("l"), verbs.stat("l").ino, verbs.stat("l").nlink) == (b"content", verbs.stat("f").ino, 2)
        verbs.unlink("f")
        assert (verbs.get("l"), verbs.stat("l").nlink, verbs.fstat(fd).nlink) == (b"content", 1, 1)


class TestRename:
    @pytest.mark.parametrize("names", ["f", "fg", "fgh"], ids=len)
    @pytest.mark.parametrize("dir_", ["", "d"], ids=["", "in a directory that is renamed"])
    def test_unsaved_files_over_one_that_is_stored(self, verbs: Verbs, names: str, dir_: str) -> None:
        if dir_:
            verbs.mkdir(dir_)
        place = join_name(dir_, "stored")
        verbs.put(place, b"old")
        unsaved = [verbs.open(name, W) for name in names]
        for name in names:
            verbs.rename(name, place)
        if dir_:
            verbs.rename(dir_, "e")
            place = "e/stored"
        for number, fd in enumerate(unsaved):
            verbs.write(fd, b"%d" % number, 0)
            verbs.close(fd)
        assert verbs.get(place) == b"%d" % (len(names) - 1)
        assert verbs.listdir("e" if dir_ else "") == ["stored"], "it was taken for a conflict"

    def test_over_a_file_and_onto_itself(self, verbs: Verbs) -> None:
        verbs.put("a", b"A")
        verbs.put("b", b"B")
        verbs.rename("a", "a")
        verbs.rename("a", "b")
        assert (verbs.listdir(""), verbs.get("b")) == (["b"], b"A")
        fails(errno.ENOENT, verbs.rename, "a", "b")

    def test_of_a_directory_takes_along_what_is_below(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        verbs.put("d/f", b"content")
        fd = verbs.open("d/f", os.O_RDWR)
        verbs.rename("d", "e")
        verbs.write(fd, b"C", 0)
        verbs.close(fd)
        assert (verbs.listdir(""), verbs.get("e/f")) == (["e"], b"Content")

    def test_of_an_empty_directory_over_another(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        verbs.mkdir("e")
        verbs.rename("d", "e")
        assert verbs.listdir("") == ["e"]

    def test_over_a_directory_with_entries(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        verbs.mkdir("e")
        verbs.put("e/f", b"")
        fails(errno.ENOTEMPTY, verbs.rename, "d", "e")

    def test_over_another_kind(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        verbs.put("f", b"")
        fd = verbs.open("unsaved", W)
        for name in ("f", "unsaved"):
            fails(errno.EISDIR, verbs.rename, name, "d")
            fails(errno.ENOTDIR, verbs.rename, "d", name)
        verbs.close(fd)

    def test_below_itself_and_over_what_is_above(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        verbs.mkdir("d/e")
        fails(errno.EINVAL, verbs.rename, "d", "d/e/f")
        fails(errno.EINVAL, verbs.rename, "d", "d/e")
        fails(errno.ENOTEMPTY, verbs.rename, "d/e", "d")
        assert verbs.listdir("d") == ["e"]

    def test_noreplace(self, verbs: Verbs) -> None:
        verbs.put("a", b"A")
        verbs.put("b", b"B")
        fails(errno.EEXIST, verbs.rename, "a", "b", RENAME_NOREPLACE)
        fails(errno.EEXIST, verbs.rename, "a", "a", RENAME_NOREPLACE)
        verbs.rename("a", "c", RENAME_NOREPLACE)
        assert (verbs.get("b"), verbs.get("c")) == (b"B", b"A")

    def test_exchange_is_done_or_refused(self, verbs: Verbs) -> None:
        verbs.put("a", b"A")
        fd = verbs.open("b", W)
        verbs.write(fd, b"B", 0)
        verbs.mkdir("d")
        if keeps_nodes(verbs):
            verbs.rename("a", "b", RENAME_EXCHANGE)
            assert (verbs.get("a"), verbs.get("b")) == (b"B", b"A")
            verbs.rename("a", "d", RENAME_EXCHANGE)
            assert (verbs.listdir("a"), verbs.get("d")) == ([], b"B")
        else:
            fails(errno.EINVAL, verbs.rename, "a", "b", RENAME_EXCHANGE)
            assert (verbs.get("a"), verbs.get("b")) == (b"A", b"B")
        fails(errno.ENOENT, verbs.rename, "b", "missing", RENAME_EXCHANGE)

    def test_unknown_flags(self, verbs: Verbs) -> None:
        verbs.put("a", b"A")
        fails(errno.EINVAL, verbs.rename, "a", "b", 4)
        fails(errno.EINVAL, verbs.rename, "a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE)


class TestTheWhole:
    @pytest.mark.parametrize("kind", IN_PLACE)
    def test_real_figures_where_the_storage_has_them(self, kind: str, tmp_path: Path) -> None:
        usage = filesystem_of(kind, tmp_path).statfs()
        assert 0 < usage.free <= usage.total < UNKNOWN_SIZE

    def test_made_up_ones_where_it_has_not(self, tmp_path: Path) -> None:
        filesystem = filesystem_of("objects", tmp_path)
        assert filesystem.statfs().total == UNKNOWN_SIZE
        filesystem.size = 1 << 30
        assert filesystem.statfs() == (1 << 30, 0, 1 << 30, None, None)

    def test_a_read_only_one_refuses_every_change(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        verbs.mkdir("d")
        verbs.filesystem.read_only = True
        root, caller = verbs.filesystem.root, verbs.caller
        for call, *args in (
            (verbs.open, "f", os.O_RDWR),
            (verbs.open, "f", os.O_RDONLY | os.O_TRUNC),
            (verbs.open, "new", W),
            (verbs.truncate, "f", 0),
            (verbs.unlink, "f"),
            (verbs.rmdir, "d"),
            (verbs.rename, "f", "g"),
            (verbs.mkdir, "e"),
            (verbs.symlink, "f", "s"),
            (verbs.link, "f", "l"),
            (verbs.filesystem.mknod, root, "p", stat.S_IFIFO, 0, caller),
            (verbs.filesystem.setxattr, root, "user.k", b"v"),
            (verbs.filesystem.removexattr, root, "user.k"),
        ):
            fails(errno.EROFS, call, *args)
        assert (verbs.get("f"), sorted(verbs.listdir(""))) == (b"content", ["d", "f"])


def test_a_process_and_its_threads() -> None:
    assert same_process(os.getpid(), os.getpid())
    assert not same_process(os.getpid(), os.getppid())
    assert same_process(os.getpid(), 2**30), "unsure counts as yes"
