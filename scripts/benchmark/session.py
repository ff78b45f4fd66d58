"""What a run has around its rounds: places and work to choose from, folders, and a progress bar."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmark.places import Place, UnavailableError
from benchmark.runner import Runner
from benchmark.work import Piece

Kind = TypeVar("Kind", bound=Piece)


def pick_places(
    every: Sequence[Place], wanted: str | None, console: Console, *, without: Collection[str] = ()
) -> list[Place]:
    """Those that are wanted and can be had; what was asked for by name and can't is a usage error.

    Those `without` which it is done must be asked for by name.
    """
    chosen = _chosen(wanted, [place.name for place in every], "place")
    if wanted is None:
        chosen -= {*without}
    found = []
    for place in every:
        if place.name not in chosen:
            continue
        try:
            place.check()
            found.append(place)
        except UnavailableError as reason:
            if wanted is not None and place.name in wanted.split(","):
                raise click.UsageError(f"{place.name}: {reason}") from reason
            console.print(f"Without {place.name}: {reason}.", style="yellow", highlight=False)
    return found


def pick_pieces(every: Sequence[type[Kind]], wanted: str | None) -> list[type[Kind]]:
    """The pieces that are wanted, by their names or those of their groups."""
    groups = [piece.group for piece in every]
    chosen = _chosen(wanted, [*(piece.name for piece in every), *groups], "work")
    return [piece for piece in every if piece.name in chosen or piece.group in chosen]


def _chosen(wanted: str | None, names: Sequence[str], what: str) -> set[str]:
    """The names in a comma-separated list, where `memory/` means all that begin so; all without a list."""
    if wanted is None:
        return set(names)
    chosen: set[str] = set()
    for word in wanted.split(","):
        found = {name for name in names if name == word or (word.endswith("/") and name.startswith(word))}
        if not found:
            raise click.UsageError(f"there is no {what} called {word!r}: see --list")
        chosen |= found
    return chosen


@contextlib.contextmanager
def folders(folder: Path) -> Iterator[tuple[Path, Path]]:
    """A new folder on the disk, below `folder`, and a tmpfs of its own in it; both are gone after the block."""
    disk = Path(tempfile.mkdtemp(prefix="vfs-bench-", dir=folder))
    memory = disk / "tmpfs"
    memory.mkdir()
    disk.chmod(0o755)  # the ordinary user passes through
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "vfs-bench", str(memory)], check=True)
    try:
        yield disk, memory
    finally:
        subprocess.run(["umount", str(memory)], check=True)
        shutil.rmtree(disk)


def run(runner: Runner, rounds: int, console: Console) -> bool:
    """All rounds, with a progress bar that only moves between the pieces: a thread would disturb them.

    False when it was interrupted; what was measured until then is there.
    """
    columns = (TextColumn("{task.description:<44}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=rounds * runner.steps())

        def tell(place: str, work: str) -> None:
            progress.update(task, advance=1, description=f"{place}: {work}", refresh=True)

        runner.tell = tell
        try:
            for _ in range(rounds):
                runner.round()
        except KeyboardInterrupt:
            console.print("Interrupted: this is what was measured until then.", style="yellow")
            return False
    return True
