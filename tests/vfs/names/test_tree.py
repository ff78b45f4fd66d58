"""The tree of nodes: leases between threads, identities and names, and which nodes stay in memory."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kernel import nodes_of

from storage.entry import Entry, Kind
from vfs.names import tree as tree_module
from vfs.names.attributes import Kept
from vfs.names.leases import Lease
from vfs.names.tree import NamelessError, Node, Tree

SOON = 5.0
"""Seconds after which what should have happened has not."""
DEVICE = 42
ROOT = Entry("", Kind.DIRECTORY, identity=(DEVICE, 1))


@pytest.fixture
def tree() -> Tree:
    return Tree(ROOT)


def directory(tree: Tree, parent: Node, name: str, inode: int | None = None) -> Node:
    return tree.attach(parent, name, Entry(name, Kind.DIRECTORY, identity=inode and (DEVICE, inode)))


def file(tree: Tree, parent: Node, name: str, inode: int | None = None) -> Node:
    return tree.attach(parent, name, Entry(name, Kind.FILE, identity=inode and (DEVICE, inode)))


class Other:
    """A thread that takes a lease, and holds it until it is told to let go."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._has_it = threading.Event()
        self._let_go = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._lease:
            self._has_it.set()
            self._let_go.wait(SOON)

    def has_it(self) -> bool:
        """Whether it gets the lease, sooner or later."""
        return self._has_it.wait(SOON)

    def waits(self, tree: Tree, behind: int = 0) -> bool:
        """Whether it comes to wait for the lease, `behind` so many others."""
        deadline = time.monotonic() + SOON
        while not self._has_it.is_set() and time.monotonic() < deadline:
            with tree.lock:
                if len(tree.queue) > behind:
                    return True
        return False

    def let_go(self) -> None:
        self._let_go.set()
        self._thread.join(SOON)
        assert not self._thread.is_alive()


@pytest.fixture
def other() -> Iterator[Callable[[Lease], Other]]:
    made: list[Other] = []

    def start(lease: Lease) -> Other:
        made.append(Other(lease))
        return made[-1]

    yield start
    for one in made:
        one.let_go()


class TestLeases:
    def test_many_share_a_path(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        node = file(tree, tree.root, "a")
        assert other(tree.reading(node)).has_it()
        assert other(tree.reading(node)).has_it()

    def test_the_block_is_given_the_path(self, tree: Tree) -> None:
        node = file(tree, directory(tree, tree.root, "d"), "a")
        with tree.reading(node) as path, tree.reading(tree.root) as root:
            assert (path, root) == ("d/a", "")

    def test_paths_follow_every_directory_that_is_moved(self, tree: Tree) -> None:
        above = directory(tree, tree.root, "d", 2)
        below = directory(tree, above, "e", 3)
        leaf = file(tree, below, "f", 4)
        assert tree.path(leaf) == "d/e/f"
        tree.move(tree.root, "d", tree.root, "moved")
        assert tree.path(leaf) == "moved/e/f"
        assert directory(tree, tree.root, "elsewhere", 3) is below  # moved behind the mount's back
        assert (tree.path(leaf), tree.path(below)) == ("elsewhere/f", "elsewhere")
        tree.exchange(tree.root, "moved", tree.root, "elsewhere")
        assert (tree.path(leaf), tree.path(above)) == ("moved/f", "elsewhere")
        tree.detach(tree.root, "moved")
        with pytest.raises(NamelessError):
            tree.path(leaf)

    def test_a_change_waits_for_all_readers(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        node = file(tree, tree.root, "a")
        first, second = other(tree.reading(node)), other(tree.reading(node))
        assert first.has_it()
        assert second.has_it()
        writer = other(tree.changing((tree.root,), (node,)))
        assert writer.waits(tree)
        first.let_go()
        assert writer.waits(tree)
        second.let_go()
        assert writer.has_it()

    def test_readers_wait_for_a_change(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        node = file(tree, tree.root, "a")
        writer = other(tree.changing((tree.root,), (node,)))
        assert writer.has_it()
        reader = other(tree.reading(node))
        assert reader.waits(tree)
        writer.let_go()
        assert reader.has_it()

    def test_two_changes_of_one_node_follow_each_other(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        node = file(tree, tree.root, "a")
        first = other(tree.changing((tree.root,), (node,)))
        assert first.has_it()
        second = other(tree.changing((tree.root,), (node,)))
        assert second.waits(tree)
        first.let_go()
        assert second.has_it()

    def test_a_path_below_a_moving_directory_waits_and_is_the_new_one(
        self, tree: Tree, other: Callable[[Lease], Other]
    ) -> None:
        moving = directory(tree, tree.root, "old")
        node = file(tree, directory(tree, moving, "sub"), "a")
        mover = other(tree.changing((tree.root,), (moving,)))
        assert mover.has_it()
        paths: list[str] = []

        def read() -> None:
            with tree.reading(node) as path:
                paths.append(path)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        tree.move(tree.root, "old", tree.root, "new")
        assert paths == []
        mover.let_go()
        reader.join(SOON)
        assert paths == ["new/sub/a"]

    def test_a_directory_waits_with_its_move_for_an_upload_below_it(
        self, tree: Tree, other: Callable[[Lease], Other]
    ) -> None:
        moving = directory(tree, tree.root, "old")
        upload = other(tree.reading(file(tree, moving, "a")))
        assert upload.has_it()
        assert other(tree.changing((tree.root,), (moving,))).waits(tree)

    def test_what_lies_beside_does_not_wait(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        assert other(tree.changing((tree.root,), (file(tree, tree.root, "a"),))).has_it()
        assert other(tree.reading(file(tree, tree.root, "b"))).has_it()
        assert other(tree.changing((tree.root,), (file(tree, tree.root, "c"),))).has_it()

    def test_shared_leases_nest_even_while_a_change_waits(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        node = file(tree, tree.root, "a")
        with tree.reading(node):
            assert other(tree.changing((tree.root,), (node,))).waits(tree)
            with tree.reading(node) as path:
                assert path == "a"

    def test_a_change_comes_to_its_turn_though_others_keep_coming(
        self, tree: Tree, other: Callable[[Lease], Other]
    ) -> None:
        above = directory(tree, tree.root, "d")
        node = file(tree, above, "f")
        upload = other(tree.reading(node))
        assert upload.has_it()
        renaming = other(tree.changing((tree.root,), (above,)))
        assert renaming.waits(tree)
        late = other(tree.reading(node))
        assert late.waits(tree, behind=1)
        upload.let_go()
        assert renaming.has_it()
        renaming.let_go()
        assert late.has_it()

    def test_who_waits_holds_up_only_who_wants_the_same(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        above = directory(tree, tree.root, "d")
        assert other(tree.reading(above)).has_it()
        assert other(tree.changing((tree.root,), (above,))).waits(tree)
        assert other(tree.reading(file(tree, tree.root, "beside"))).has_it()
        assert other(tree.changing((tree.root,), (file(tree, tree.root, "other"),))).has_it()

    def test_two_changes_that_use_each_others_paths_do_not_wait_for_each_other(
        self, tree: Tree, other: Callable[[Lease], Other]
    ) -> None:
        """Renames of `one` into `two` and of `two` into `one`, while both are in use."""
        one, two = directory(tree, tree.root, "one"), directory(tree, tree.root, "two")
        users = [other(tree.reading(one)), other(tree.reading(two))]
        assert all(user.has_it() for user in users)
        first = other(tree.changing((tree.root, two), (one,)))
        assert first.waits(tree)
        second = other(tree.changing((tree.root, one), (two,)))
        assert second.waits(tree, behind=1)
        for user in users:
            user.let_go()
        assert first.has_it()
        first.let_go()
        assert second.has_it()

    def test_a_node_above_the_new_place_may_be_among_the_changing(self, tree: Tree) -> None:
        above = directory(tree, tree.root, "d")
        with tree.changing((tree.root, directory(tree, above, "e")), (above, None)):
            pass
        with tree.changing((tree.root,), (above, above)):
            pass

    def test_a_name_is_claimed_by_one_at_a_time(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        sources = [file(tree, tree.root, name) for name in ("a", "b", "c")]
        claims = [(tree.root, "new"), (tree.root, "new"), (tree.root, "another")]
        changes = [tree.changing((tree.root,), (node,), (claim,)) for node, claim in zip(sources, claims, strict=True)]
        first = other(changes[0])
        assert first.has_it()
        second = other(changes[1])
        assert second.waits(tree)
        assert other(changes[2]).has_it()
        assert other(tree.reading(tree.root)).has_it()
        first.let_go()
        assert second.has_it()
        second.let_go()
        assert (tree.root, "new") not in tree.claims

    def test_an_error_in_the_block_gives_the_lease_back(self, tree: Tree, other: Callable[[Lease], Other]) -> None:
        node = file(tree, tree.root, "a")
        with pytest.raises(ZeroDivisionError), tree.changing((tree.root,), (node,)):
            raise ZeroDivisionError
        assert other(tree.changing((tree.root,), (node,))).has_it()

    def test_a_nameless_node_has_no_path_and_leaves_no_lease(self, tree: Tree) -> None:
        node = tree.remember(file(tree, tree.root, "a"))
        tree.detach(tree.root, "a")
        with pytest.raises(NamelessError), tree.reading(node):
            pass
        assert not tree.leases

    def test_many_threads_moving_and_reading_come_to_an_end(self, tree: Tree) -> None:
        """Renames between directories in both directions, with readers below: no deadlock, all leases given back."""
        tops = [tree.remember(directory(tree, tree.root, f"top{number}")) for number in range(3)]
        movers = [tree.remember(directory(tree, tops[number % 3], f"d{number}")) for number in range(4)]
        leaves = [tree.remember(file(tree, node, "leaf")) for node in movers]
        writing: dict[Node, int] = {}

        def work(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(150):
                if chance.random() < 0.5:
                    with tree.reading(chance.choice(leaves)) as path:
                        assert path.count("/") == 2
                    continue
                number = chance.randrange(4)
                node = movers[number]
                with tree.lock:
                    source = next(iter(node.links))[0]
                target = chance.choice(tops)
                with tree.changing((source, target), (node,)):
                    assert writing.setdefault(node, seed) == seed, "two threads change one node"
                    if (source, f"d{number}") in node.links:  # nobody was faster
                        tree.move(source, f"d{number}", target, f"d{number}")
                    del writing[node]

        with ThreadPoolExecutor(16) as pool:
            for done in [pool.submit(work, seed) for seed in range(16)]:
                done.result(timeout=30)
        assert tree.queue == []
        assert not tree.leases
        assert not any(node.writer for node in nodes_of(tree))
        assert sorted(len(node.links) for node in movers) == [1, 1, 1, 1]


class TestIdentity:
    def test_the_same_name_and_identity_give_the_same_node(self, tree: Tree) -> None:
        assert file(tree, tree.root, "a", 7) is file(tree, tree.root, "a", 7)
        assert file(tree, tree.root, "b") is file(tree, tree.root, "b")

    def test_two_names_of_one_identity_are_one_node(self, tree: Tree) -> None:
        first, second = file(tree, tree.root, "a", 7), file(tree, directory(tree, tree.root, "d"), "b", 7)
        assert first is second
        assert len(first.links) == 2

    def test_another_identity_under_a_name_is_another_node(self, tree: Tree) -> None:
        old = tree.remember(file(tree, tree.root, "a", 7))
        new = file(tree, tree.root, "a", 8)
        assert new is not old
        assert (list(old.links), tree.child(tree.root, "a")) == ([], new)

    def test_another_kind_under_a_name_is_another_node(self, tree: Tree) -> None:
        old = tree.remember(file(tree, tree.root, "a"))
        assert directory(tree, tree.root, "a") is not old
        assert old.links == ()

    def test_a_name_seen_last_is_the_path(self, tree: Tree) -> None:
        """Somebody renamed behind the mount: the old name is still among the links, and must not be used."""
        node = file(tree, tree.root, "old", 7)
        assert file(tree, tree.root, "new", 7) is node
        assert tree.path(node) == "new"
        assert file(tree, tree.root, "old", 7) is node
        assert tree.path(node) == "old"

    def test_a_directory_moved_behind_the_mount_has_its_new_name_alone(self, tree: Tree) -> None:
        node = directory(tree, tree.root, "old", 7)
        below = file(tree, node, "a", 8)
        assert directory(tree, tree.root, "new", 7) is node
        assert tree.path(below) == "new/a"
        assert tree.child(tree.root, "old") is None

    def test_a_reused_identity_of_another_kind_is_another_node(self, tree: Tree) -> None:
        node = tree.remember(file(tree, tree.root, "a", 7))
        other = directory(tree, tree.root, "d", 7)
        assert other is not node
        assert other.ino != node.ino

    def test_inode_numbers_are_the_backing_ones(self, tree: Tree) -> None:
        assert tree.root.ino == 1
        assert file(tree, tree.root, "a", 7).ino == 7

    def test_an_identity_of_another_device_gets_a_number_of_its_own(self, tree: Tree) -> None:
        here = file(tree, tree.root, "a", 7)
        there = tree.attach(tree.root, "b", Entry("b", Kind.FILE, identity=(DEVICE + 1, 7)))
        assert there.ino not in {here.ino, 7}

    def test_without_identity_the_number_belongs_to_the_name(self, tree: Tree) -> None:
        node = file(tree, tree.root, "a")
        number = node.ino
        assert number == tree.ino(tree.root, Entry("a", Kind.FILE))
        tree.detach(tree.root, "a")
        assert file(tree, tree.root, "a").ino == number
        assert number != file(tree, tree.root, "b").ino

    def test_the_number_stays_when_the_content_becomes_a_new_object(self, tree: Tree) -> None:
        node = file(tree, tree.root, "a", 7)
        tree.identify(node, (DEVICE, 8))
        assert node.ino == 7
        assert file(tree, tree.root, "a", 8) is node
        assert file(tree, tree.root, "b", 7) is not node

    def test_the_number_stays_when_the_name_changes(self, tree: Tree) -> None:
        node = file(tree, tree.root, "a")
        number = node.ino
        tree.move(tree.root, "a", tree.root, "b")
        tree.forget(tree.remember(node))
        assert file(tree, tree.root, "b").ino == number
        assert file(tree, tree.root, "a").ino != number


class TestNames:
    def test_a_detached_node_lives_while_it_is_known(self, tree: Tree) -> None:
        node = tree.remember(file(tree, tree.root, "a", 7))
        tree.detach(tree.root, "a")
        assert node in nodes_of(tree)
        tree.forget(node)
        assert node not in nodes_of(tree)

    def test_detaching_one_of_two_names_leaves_the_other(self, tree: Tree) -> None:
        node = file(tree, tree.root, "a", 7)
        file(tree, tree.root, "b", 7)
        tree.detach(tree.root, "b")
        assert tree.path(node) == "a"
        assert file(tree, tree.root, "a", 7) is node

    def test_detaching_what_is_not_there_is_nothing(self, tree: Tree) -> None:
        tree.detach(tree.root, "a")
        assert len(tree) == 1

    def test_a_move_takes_the_name_from_what_was_there(self, tree: Tree) -> None:
        node, target = file(tree, tree.root, "a", 7), tree.remember(file(tree, tree.root, "b", 8))
        tree.move(tree.root, "a", tree.root, "b")
        assert (tree.path(node), tree.child(tree.root, "a"), target.links) == ("b", None, ())

    def test_a_move_of_what_is_not_known_takes_the_target_away(self, tree: Tree) -> None:
        file(tree, tree.root, "b", 8)
        tree.move(tree.root, "a", tree.root, "b")
        assert tree.child(tree.root, "b") is None

    def test_an_exchange_swaps_two_names(self, tree: Tree) -> None:
        sub = directory(tree, tree.root, "d")
        first, second = file(tree, tree.root, "a"), file(tree, sub, "b")
        tree.exchange(tree.root, "a", sub, "b")
        assert (tree.path(first), tree.path(second)) == ("d/b", "a")

    def test_an_exchange_with_what_is_not_known(self, tree: Tree) -> None:
        node = file(tree, tree.root, "a")
        tree.exchange(tree.root, "a", tree.root, "b")
        assert (tree.path(node), tree.child(tree.root, "a")) == ("b", None)
        tree.exchange(tree.root, "a", tree.root, "b")
        assert (tree.path(node), tree.child(tree.root, "b")) == ("a", None)

    def test_what_is_below_what(self, tree: Tree) -> None:
        above = directory(tree, tree.root, "d")
        below = directory(tree, above, "e")
        assert tree.is_within(below, above)
        assert tree.is_within(above, above)
        assert not tree.is_within(above, below)


class TestLife:
    @pytest.fixture(autouse=True)
    def few_idle_nodes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree_module, "IDLE_LIMIT", 4)

    @staticmethod
    def use(tree: Tree, node: Node) -> Node:
        tree.forget(tree.remember(node))
        return node

    def test_the_oldest_idle_nodes_are_dropped(self, tree: Tree) -> None:
        nodes = [self.use(tree, file(tree, tree.root, f"f{number}")) for number in range(6)]
        assert nodes_of(tree)[1:] == nodes[2:]
        assert tree.child(tree.root, "f0") is None

    def test_use_makes_a_node_young(self, tree: Tree) -> None:
        nodes = [self.use(tree, file(tree, tree.root, f"f{number}")) for number in range(4)]
        self.use(tree, nodes[0])
        self.use(tree, file(tree, tree.root, "f4"))
        assert nodes[0] in nodes_of(tree)
        assert nodes[1] not in nodes_of(tree)

    def test_a_dropped_node_comes_back_under_its_number(self, tree: Tree) -> None:
        number = self.use(tree, file(tree, tree.root, "a")).ino
        for other in range(5):
            self.use(tree, file(tree, tree.root, f"f{other}"))
        assert tree.child(tree.root, "a") is None
        assert file(tree, tree.root, "a").ino == number

    @pytest.mark.parametrize(
        "occupy",
        [
            lambda tree, node: tree.remember(node),
            lambda tree, node: setattr(node, "pinned", True),
            lambda tree, node: setattr(node, "renumbered", True),
            lambda tree, node: setattr(node, "file", object()),
            lambda tree, node: tree.reading(node).__enter__(),
            lambda tree, node: tree.changing((), (node,)).__enter__(),
        ],
        ids=["looked up", "pinned", "renumbered", "open", "read", "changed"],
    )
    def test_what_is_in_use_is_not_dropped(self, tree: Tree, occupy: Callable[[Tree, Node], Any]) -> None:
        node = file(tree, tree.root, "a")
        occupy(tree, node)
        tree.settle(node)
        for number in range(10):
            self.use(tree, file(tree, tree.root, f"f{number}"))
        assert tree.child(tree.root, "a") is node

    def test_a_directory_stays_while_something_below_it_does(self, tree: Tree) -> None:
        above = directory(tree, tree.root, "d")
        below = tree.remember(file(tree, above, "a"))
        self.use(tree, above)
        for number in range(10):
            self.use(tree, file(tree, tree.root, f"f{number}"))
        assert tree.path(below) == "d/a"
        tree.forget(below)
        for number in range(10):
            self.use(tree, file(tree, tree.root, f"f{number}"))
        assert (len(tree), tree.child(tree.root, "d")) == (5, None)

    def test_a_name_lost_gives_up_what_was_kept(self, tree: Tree) -> None:
        node = file(tree, tree.root, "a")
        node.kept, node.pinned = Kept(mode=0o600), True
        tree.detach(tree.root, "a")
        assert len(tree) == 1

    def test_the_root_is_never_dropped(self, tree: Tree) -> None:
        tree.forget(tree.root)
        tree.settle(tree.root)
        assert nodes_of(tree) == [tree.root]
