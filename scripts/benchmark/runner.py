"""The rounds: every place is mounted anew, and for each group of work each place has its turn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark import data, files, trees
from benchmark.places import Place
from benchmark.samples import Failure, Sample, Samples
from benchmark.work import Piece, Sizes, Unit
from benchmark.worker import WorkError, call, cpu_seconds, drop_caches, peak_memory, settle, warm_memory, work

PIECES: tuple[type[Piece], ...] = (
    files.Create,
    files.StatCold,
    files.StatWarm,
    files.ReadCold,
    files.ReadWarm,
    files.Rename,
    files.Unlink,
    files.Listing,
    data.WriteLarge,
    data.ReadLargeCold,
    data.ReadLargeWarm,
    data.RandomRead,
    data.RandomWrite,
    trees.CopyTree,
    trees.GitStatus,
)
"""All of them, in the order in which they are done."""
MOUNT = "mount"
"""What the time from the command to the answering mount is called among the works."""
UNMOUNT = "unmount"
SEEDED: dict[str, type[files.Listing] | type[data.Random]] = {"listing": files.Listing, "random": data.RandomRead}
"""Groups whose files stay from round to round, and are laid into the folder behind a mount before it is mounted."""

_MEMORY = 3
"""How many times the large file lies in memory at the most: with a server, a mount and the client."""

Tell = Callable[[str, str], None]


class Runner:
    """Does the pieces in the places, and keeps the samples."""

    def __init__(
        self, places: Sequence[Place], pieces: Sequence[type[Piece]], sizes: Sizes, tree: Path, tell: Tell
    ) -> None:
        """`tree` is the repository to copy; `tell(place, work)` hears of each piece before it is done."""
        self.places = places
        self.pieces = pieces
        self.sizes = sizes
        self.tree = tree
        self.tell = tell
        self.samples = Samples()

    def steps(self) -> int:
        """How often `tell` is called in a round."""
        return len(self.places) + sum(self.can(place, piece.group) for place in self.places for piece in self.pieces)

    def can(self, place: Place, group: str) -> bool:
        """Whether the place takes part in a group of work."""
        return place.groups is None or group in place.groups

    def round(self) -> None:
        """One round over all places."""
        with contextlib.ExitStack() as mounts:
            opened = [place for place in self.places if self._start(place, mounts)]
            for group in dict.fromkeys(piece.group for piece in self.pieces):
                for place in opened:
                    if self.can(place, group):
                        self._do_group(place, group)

    def _start(self, place: Place, mounts: contextlib.ExitStack) -> bool:
        """Mount it, to be unmounted with the rest; whether it could be."""
        self.tell(place.name, MOUNT)
        try:
            self._seed(place)
            place.start()
            mounts.callback(self._stop, place)
            if place.mount_seconds is not None:
                cpu = None if place.pid is None else cpu_seconds(place.pid)
                self.samples.samples.append(Sample(place.name, MOUNT, 1, place.mount_seconds, cpu))
        except WorkError as error:
            self._fail(place, MOUNT, error)
            return False
        return True

    def _stop(self, place: Place) -> None:
        try:
            place.stop()
        except WorkError as error:
            self._fail(place, UNMOUNT, error)

    def _seed(self, place: Place) -> None:
        """Lay into the folder behind the mount what is to be listed and read, where there is such a folder."""
        behind = place.behind
        if behind is None:
            return
        place.make_folders(behind.name)
        for group in {piece.group for piece in self.pieces} & SEEDED.keys():
            if self.can(place, group) and not (behind / group).exists():
                call(SEEDED[group](behind, self.sizes, self.tree).fill, place.user)

    def _do_group(self, place: Place, group: str) -> None:
        """The pieces in their order; what has failed in an earlier round is not tried again, for it may have hung."""
        pieces = [piece for piece in self.pieces if piece.group == group]
        for piece in pieces:
            self.tell(place.name, piece.name)
            if self.samples.failed(place.name, piece.name):
                continue
            try:
                self.samples.samples.append(self._do(place, piece))
            except WorkError as error:
                self._fail(place, piece.name, error)
        if group not in SEEDED:
            with contextlib.suppress(WorkError):  # whatever could not be done there has been told
                place.clean(pieces[0])
                self._settle(place)

    def _do(self, place: Place, piece: type[Piece]) -> Sample:
        """One sample. WorkError."""
        before: tuple[float, dict[str, int]] = (0.0, {})

        def begin() -> None:
            nonlocal before
            if piece.cold:
                drop_caches(dirty=place.family != "memory")
            self._settle(place)
            if piece.unit is Unit.BYTES:
                warm_memory(_MEMORY * self.sizes.large)
            before = self._meter(place)

        done = work(place.piece(piece, self.sizes, self.tree), place.user, begin)
        self._settle(place)
        cpu, counts = self._meter(place)
        requests = {name: count - before[1].get(name, 0) for name, count in counts.items()}
        used = None if place.pid is None else cpu - before[0]
        memory = None if place.pid is None else peak_memory(place.pid)
        changed = {name: count for name, count in requests.items() if count}
        return Sample(place.name, piece.name, done.amount, done.seconds, used, changed, memory)

    def _settle(self, place: Place) -> None:
        settle([] if place.pid is None else [place.pid])

    def _meter(self, place: Place) -> tuple[float, dict[str, int]]:
        """The daemon's CPU time and counts; WorkError when it has died."""
        counts = dict(place.counts())
        return (0.0 if place.pid is None else cpu_seconds(place.pid)), counts

    def _fail(self, place: Place, work: str, error: WorkError) -> None:
        if not self.samples.failed(place.name, work):
            self.samples.failures.append(Failure(place.name, work, str(error)))
