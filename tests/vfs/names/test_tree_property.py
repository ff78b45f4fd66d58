"""A property: after whatever calls, a filesystem shows the tree that dictionaries would show.

hypothesis looks for the shortest sequence of calls after which the verbs and a plain model differ: in what they answer,
in what they refuse, or in the tree that is left, once with all files open that were opened, and once with all closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from kernel import KINDS, SPOOLED, Verbs, files_here, filesystem_of, nodes_of

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
DATA = st.binary(max_size=20)


class Leaf:
    """A file or symbolic link of the model; several names may have it."""

    def __init__(self, target: str | None = None) -> None:
        self.content = b""
        self.target = target


Directory: TypeAlias = "dict[str, Directory | Leaf]"


class Refused(Exception):  # noqa: N818 - it is what the model expects, not an error
    """The model says which errors may come of a call."""

    def __init__(self, *codes: int) -> None:
        super().__init__([errno.errorcode[code] for code in codes])
        self.codes = codes


class Model:
    """The tree as dictionaries, with POSIX's rules; `links` says whether there are hard and symbolic ones."""

    def __init__(self, hard_links: bool, symlinks: bool) -> None:
        self.hard_links = hard_links
        self.symlinks = symlinks
        self.root: Directory = {}

    def above(self, path: str) -> tuple[Directory, str]:
        *parents, name = path.split("/")
        directory = self.root
        for part in parents:
            found = directory.get(part)
            if found is None:
                raise Refused(errno.ENOENT)
            if isinstance(found, Leaf):
                raise Refused(errno.ENOTDIR)
            directory = found
        return directory, name

    def at(self, path: str) -> Directory | Leaf:
        directory, name = self.above(path)
        if name not in directory:
            raise Refused(errno.ENOENT)
        return directory[name]

    def free(self, path: str) -> tuple[Directory, str]:
        directory, name = self.above(path)
        if name in directory:
            raise Refused(errno.EEXIST)
        return directory, name

    @staticmethod
    def allow(concerned: bool, supported: bool) -> None:
        if concerned and not supported:
            raise Refused(errno.EPERM)

    @staticmethod
    def each(*checks: Callable[[], Any]) -> list[Any]:
        """What all checks come to; of several errors any may be told, POSIX knows no order."""
        codes: set[int] = set()
        results = []
        for check in checks:
            try:
                results.append(check())
            except Refused as refusal:
                codes |= set(refusal.codes)
        if codes:
            raise Refused(*codes)
        return results

    def file(self, path: str) -> Leaf:
        found = self.at(path)
        if not isinstance(found, Leaf):
            raise Refused(errno.EISDIR)
        if found.target is not None:
            raise Refused(errno.ENXIO)  # the kernel would have followed it
        return found

    def open(self, path: str) -> Leaf:
        directory, name = self.above(path)
        if name in directory:
            return self.file(path)
        directory[name] = leaf = Leaf()
        return leaf

    def mkdir(self, path: str) -> None:
        directory, name = self.free(path)
        directory[name] = {}

    def rmdir(self, path: str) -> None:
        found = self.at(path)
        if isinstance(found, Leaf):
            raise Refused(errno.ENOTDIR)
        if found:
            raise Refused(errno.ENOTEMPTY)
        directory, name = self.above(path)
        del directory[name]

    def unlink(self, path: str) -> None:
        if not isinstance(self.at(path), Leaf):
            raise Refused(errno.EISDIR)
        directory, name = self.above(path)
        del directory[name]

    def symlink(self, target: str, path: str) -> None:
        _, (directory, name) = self.each(lambda: self.allow(True, self.symlinks), lambda: self.free(path))
        directory[name] = Leaf(target)

    def link(self, old: str, new: str) -> None:
        found, (directory, name) = self.each(lambda: self.linkable(old), lambda: self.free(new))
        directory[name] = found

    def linkable(self, path: str) -> Leaf:
        found = self.at(path)
        if isinstance(found, dict):
            raise Refused(errno.EPERM)
        self.allow(found.target is None, self.hard_links)
        self.allow(found.target is not None, self.symlinks)
        return found

    def rename(self, old: str, new: str) -> None:
        found, (source, name), (directory, new_name) = self.each(
            lambda: self.at(old), lambda: self.above(old), lambda: self.above(new)
        )
        target = directory.get(new_name)
        if target is found:
            return
        below, above = f"{new}/".startswith(f"{old}/"), f"{old}/".startswith(f"{new}/")
        if isinstance(found, dict) and below:
            raise Refused(errno.EINVAL)
        if isinstance(target, dict) and (above or (isinstance(found, dict) and target)):
            raise Refused(errno.ENOTEMPTY, errno.EISDIR)
        if target is not None and isinstance(found, dict) != isinstance(target, dict):
            raise Refused(errno.ENOTDIR if isinstance(found, dict) else errno.EISDIR)
        del source[name]
        directory[new_name] = found


def outcome(call: Callable[..., Any], *args: Any) -> Any:
    """What came of a call on either side: its result, or the errors."""
    try:
        return call(*args)
    except Refused as refusal:
        return set(refusal.codes)
    except OSError as error:
        return {error.errno}


class TreeMachine(RuleBasedStateMachine):
    """The calls, made on both sides."""

    kind: ClassVar[str]
    cache_seconds: ClassVar[float]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        filesystem = filesystem_of(self.kind, Path(self.folder.name))
        filesystem.names.listings.seconds = self.cache_seconds
        self.real = Verbs(filesystem)
        self.model = Model(filesystem.storage.in_place, filesystem.names.real_directories)
        self.opened: list[tuple[int, Leaf]] = []

    def teardown(self) -> None:
        try:
            self.close_all()
            self.tree_is_the_models()
            self.nothing_is_left_over()
        finally:
            self.real.close_all()
            self.real.filesystem.close()
            close = getattr(self.real.filesystem.storage, "close", None)
            if close is not None:
                close()
            self.folder.cleanup()

    def both(self, name: str, *args: str) -> None:
        """The same call on both sides comes to the same, or to one of the errors that the model allows."""
        real, model = outcome(getattr(self.real, name), *args), outcome(getattr(self.model, name), *args)
        if isinstance(model, set):
            assert isinstance(real, set), f"{name}{args} must fail with {names_of(model)}"
            assert real <= model, f"{name}{args} failed with {names_of(real)}, not with {names_of(model)}"
        else:
            assert not isinstance(real, set), f"{name}{args} failed with {names_of(real)}"

    @rule(path=PATHS)
    def mkdir(self, path: str) -> None:
        self.both("mkdir", path)

    @rule(path=PATHS)
    def rmdir(self, path: str) -> None:
        self.both("rmdir", path)

    @rule(path=PATHS)
    def unlink(self, path: str) -> None:
        self.both("unlink", path)

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: str, new: str) -> None:
        self.both("rename", old, new)

    @rule(old=PATHS, new=PATHS)
    def link(self, old: str, new: str) -> None:
        self.both("link", old, new)

    @rule(leads_to=PATHS, path=PATHS)
    def symlink(self, leads_to: str, path: str) -> None:
        self.both("symlink", leads_to, path)

    @rule(path=PATHS)
    def open(self, path: str) -> None:
        model = outcome(self.model.open, path)
        real = outcome(self.real.open, path, os.O_RDWR | os.O_CREAT)
        if isinstance(model, Leaf):
            assert isinstance(real, int), f"open({path}) failed with {names_of(real)}"
            self.opened.append((real, model))
        else:
            assert real == model, f"open({path}) came to {real}, not to {names_of(model)}"

    @rule(path=PATHS, data=DATA)
    def store(self, path: str, data: bytes) -> None:
        """Write a whole file, and close it."""
        model = outcome(self.model.open, path)
        real = outcome(self.real.put, path, data)
        if isinstance(model, Leaf):
            assert real is None, f"put({path}) failed with {names_of(real)}"
            model.content = data
        else:
            assert real == model

    @precondition(lambda self: self.opened)
    @rule(choice=st.randoms(use_true_random=False), data=DATA)
    def write(self, choice: Any, data: bytes) -> None:
        fd, leaf = choice.choice(self.opened)
        self.real.write(fd, data, 0)
        leaf.content = data + leaf.content[len(data) :]

    @precondition(lambda self: self.opened)
    @rule(choice=st.randoms(use_true_random=False))
    def close(self, choice: Any) -> None:
        fd, leaf = self.opened.pop(choice.randrange(len(self.opened)))
        assert self.real.read(fd, 1000, 0) == leaf.content
        self.real.close(fd)

    @rule()
    def close_all(self) -> None:
        while self.opened:
            self.real.close(self.opened.pop()[0])

    @rule()
    def forget_what_is_idle(self) -> None:
        """What a full memory would do."""
        tree = self.real.filesystem.tree
        with tree.lock:
            for node in list(tree._idle):
                if node in tree._idle:
                    tree._drop(node)

    @invariant()
    def tree_is_the_models(self) -> None:
        self._compare("", self.model.root)

    def _compare(self, path: str, directory: Directory) -> None:
        assert sorted(self.real.listdir(path)) == sorted(directory), f"in {path!r}"
        for name, expected in directory.items():
            below = f"{path}/{name}" if path else name
            mode = self.real.stat(below).mode
            if isinstance(expected, dict):
                assert stat.S_ISDIR(mode), below
                self._compare(below, expected)
            elif expected.target is not None:
                assert (stat.S_ISLNK(mode), self.real.readlink(below)) == (True, expected.target), below
            else:
                assert (stat.S_ISREG(mode), self.real.get(below)) == (True, expected.content), below

    def nothing_is_left_over(self) -> None:
        """With everything closed: no open file, no lease, nothing in the spool, and the storage has the content."""
        filesystem = self.real.filesystem
        assert (files_here(filesystem), filesystem.pending()) == (0, [])
        assert not filesystem.tree.leases
        assert not any(node.writer for node in nodes_of(filesystem.tree))
        assert all(node.lookups == (node is filesystem.root) for node in nodes_of(filesystem.tree))
        with contextlib.suppress(FileNotFoundError):
            assert os.listdir(Path(self.folder.name) / "spool") == []
        stored = {
            f"{path}/{entry.name}".lstrip("/") for path, _, others in filesystem.storage.walk() for entry in others
        }
        assert stored == set(leaves(self.model.root))


def leaves(directory: Directory, path: str = "") -> list[str]:
    """The paths of all that is no directory."""
    found = []
    for name, one in directory.items():
        found += [f"{path}{name}"] if isinstance(one, Leaf) else leaves(one, f"{path}{name}/")
    return found


def names_of(codes: Any) -> str:
    return " or ".join(errno.errorcode.get(code, str(code)) for code in codes) if isinstance(codes, set) else str(codes)


@pytest.mark.parametrize(
    ("kind", "cache_seconds"), [*((kind, 0.0) for kind in KINDS), *((kind, 100.0) for kind in SPOOLED)]
)
def test_it_is_the_tree_of_the_model(kind: str, cache_seconds: float) -> None:
    machine = type("Machine", (TreeMachine,), {"kind": kind, "cache_seconds": cache_seconds})
    few = settings(
        max_examples=int(os.environ.get("VFS_TEST_EXAMPLES") or (20 if kind in SPOOLED else 40)),
        stateful_step_count=30,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=few)
