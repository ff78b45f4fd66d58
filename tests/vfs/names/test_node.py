"""The names of a node: the one that was seen last leads."""

from __future__ import annotations

import pytest

from storage.entry import Kind
from vfs.names.node import Node


@pytest.fixture
def directory() -> Node:
    return Node(1, Kind.DIRECTORY, 1)


@pytest.fixture
def node() -> Node:
    return Node(2, Kind.FILE, 2)


def test_a_new_node_has_no_name(node: Node) -> None:
    assert (node.links, node.parent) == ((), None)


def test_the_name_seen_last_is_the_last(node: Node, directory: Node) -> None:
    for name in ("a", "b", "c", "a"):
        node.add_link(directory, name)
    assert node.links == ((directory, "b"), (directory, "c"), (directory, "a"))
    assert (node.parent, node.name) == (directory, "a")


def test_when_the_last_name_goes_the_one_before_leads(node: Node, directory: Node) -> None:
    for name in ("a", "b", "c"):
        node.add_link(directory, name)
    node.remove_link(directory, "c")
    assert (node.parent, node.name) == (directory, "b")
    node.remove_link(directory, "a")
    assert node.links == ((directory, "b"),)
    node.remove_link(directory, "b")
    assert node.parent is None
    assert not node.links


def test_a_name_that_it_does_not_have_is_no_loss(node: Node, directory: Node) -> None:
    node.add_link(directory, "a")
    node.remove_link(directory, "b")
    node.remove_link(node, "a")
    assert node.links == ((directory, "a"),)


def test_only_directories_get_children(node: Node, directory: Node) -> None:
    directory.children["a"] = node
    with pytest.raises(TypeError):
        node.children["b"] = directory
    assert Node(3, Kind.SYMLINK, 3).children == {}
