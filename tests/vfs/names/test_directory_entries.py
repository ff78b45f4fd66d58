"""Listings, over each kind of storage: what a line costs, and when it may stand for a lookup."""

from __future__ import annotations

import os
from typing import Any

import pytest
from kernel import Verbs, nodes_of

from vfs.names.directory_entries import DirectoryEntry


def lines(verbs: Verbs) -> dict[str, DirectoryEntry]:
    return {line.name: line for line in verbs.filesystem.readdir(verbs.filesystem.root)}


def kernel_forgets_all(verbs: Verbs) -> None:
    """Every node without a lookup goes, as in a new mount."""
    tree = verbs.filesystem.tree
    for node in nodes_of(tree):
        if node in tree._idle:
            tree._drop(node)


def test_a_line_shows_what_a_lookup_shows(verbs: Verbs) -> None:
    verbs.put("f", b"content")
    verbs.mkdir("d")
    found = lines(verbs)
    for name in ("f", "d"):
        node, attributes = verbs.filesystem.lookup(verbs.filesystem.root, name)
        shown = found[name].attributes
        assert (found[name].ino, found[name].kind, shown.mode, shown.size) == (
            node.ino,
            node.kind,
            attributes.mode,
            attributes.size,
        )
        verbs.filesystem.forget(node)


def test_a_line_stands_for_a_lookup_without_asking(verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        verbs.put(name, b"content")
    kernel_forgets_all(verbs)
    filesystem = verbs.filesystem
    found = lines(verbs)
    kept = set(filesystem.root.children)

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name!r} was asked for")

    with monkeypatch.context() as patch:
        patch.setattr(filesystem.storage, "stat", refuse)
        adopted = {name: filesystem.adopt(filesystem.root, line) for name, line in found.items() if name not in kept}
    for name, (node, attributes) in adopted.items():
        assert (node.lookups, attributes.size, node.ino) == (1, 7, found[name].ino)
        assert filesystem.lookup(filesystem.root, name)[0] is node
        filesystem.forget(node, 2)


def test_a_line_of_a_known_file_is_its_node_as_it_is_now(verbs: Verbs) -> None:
    verbs.put("f", b"old")
    found = lines(verbs)
    with verbs.at("f") as node:
        verbs.put("f", b"longer")
        same, attributes = verbs.filesystem.adopt(verbs.filesystem.root, found["f"])
        assert attributes.size == 6
        verbs.filesystem.forget(same)
        assert same is node or not verbs.filesystem.names.exact


def test_what_has_gone_since_does_not_come_back(verbs: Verbs) -> None:
    verbs.put("gone", b"")
    kernel_forgets_all(verbs)
    line = lines(verbs)["gone"]
    verbs.unlink("gone")
    with pytest.raises(FileNotFoundError):
        verbs.filesystem.adopt(verbs.filesystem.root, line)
    assert "gone" not in verbs.filesystem.root.children


def test_an_old_line_takes_no_name_from_a_new_file(verbs: Verbs) -> None:
    verbs.put("f", b"old")
    kernel_forgets_all(verbs)
    line = lines(verbs)["f"]
    verbs.unlink("f")
    fd = verbs.open("f", os.O_CREAT | os.O_RDWR)
    verbs.write(fd, b"newer", 0)
    new = verbs.handle(fd).node
    node, attributes = verbs.filesystem.adopt(verbs.filesystem.root, line)
    assert (node, attributes.size) == (new, 5)
    verbs.filesystem.forget(node)
    verbs.close(fd)
