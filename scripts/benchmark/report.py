"""The report on the terminal: what each place does in a second, the requests behind it, and the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmark.places import Place
from benchmark.remote import work as remote
from benchmark.runner import MOUNT, PIECES
from benchmark.samples import Failure, Figure, Samples
from benchmark.targets import Limit, Verdict
from benchmark.work import Unit

_ALL = (*PIECES, *remote.PIECES)
TITLES = {**{piece.name: piece.title for piece in _ALL}, MOUNT: "command to answering mount"}
UNITS = {**{piece.name: piece.unit for piece in _ALL}, MOUNT: Unit.SECONDS}
FAMILIES = {"memory": "In memory", "local": "Files on the disk", "remote": "Objects of an S3 server on loopback"}


def number(value: float) -> str:
    """Three digits and a prefix: 1230 is "1.23k"."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor * 0.9995:
            return f"{digits(value / factor)}{prefix}"
    return digits(value)


def digits(value: float) -> str:
    """Three digits, as far as there are decimals to leave out."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def rate(work: str, value: float) -> str:
    """How fast it was, with its unit."""
    unit = UNITS[work]
    if unit is Unit.SECONDS:
        return f"{1 / value:.2f}s"
    return f"{number(value)}{'B' if unit is Unit.BYTES else ''}/s"


def cpu(work: str, value: float) -> str:
    """The daemon's CPU time for one operation, for a gibibyte, or for the whole."""
    unit = UNITS[work]
    if unit is Unit.BYTES:
        return f"{value * 2**30:.2f}s"
    return f"{value:.2f}s" if unit is Unit.SECONDS else f"{value * 1e6:.0f}µs"


def cell(work: str, figure: Figure | None, *, failed: bool) -> Text:
    """One figure: the rate, and beside it, dimmed, the CPU time."""
    if figure is None:
        return Text("can't" if failed else "", style="dim")
    text = Text(rate(work, figure.rate))
    if figure.cpu is not None:
        text.append(f" {cpu(work, figure.cpu)}", style="dim")
    return text


def new_table(title: str) -> Table:
    """A table in the style of all."""
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)


def family_table(samples: Samples, places: Sequence[Place], works: Sequence[str], family: str) -> Table:
    """The places of one family: rows are work, columns places."""
    columns = [place for place in places if place.family == family]
    title = f"{FAMILIES[family]}: work in a second; the daemon's CPU time for one operation, for data for 1 GiB"
    table = new_table(title)
    table.add_column("", no_wrap=True)
    for place in columns:
        table.add_column(place.title, justify="right")
    for work in works:
        figures = [samples.figure(place.name, work) for place in columns]
        failed = [samples.failed(place.name, work) for place in columns]
        if any(figures) or any(failed):
            cells = [cell(work, figure, failed=bad) for figure, bad in zip(figures, failed, strict=True)]
            table.add_row(TITLES[work], *cells)
    return table


def requests_table(samples: Samples, places: Sequence[str], works: Sequence[str]) -> Table:
    """The requests that each operation has caused; for data, the requests of a mebibyte."""
    table = new_table("Requests for each operation (each MiB of data)")
    table.add_column("", no_wrap=True)
    for place in places:
        table.add_column(place)
    for work in works:
        figures = [samples.figure(place, work) for place in places]
        if work != MOUNT and any(figures):
            factor = 2**20 if UNITS[work] is Unit.BYTES else 1
            table.add_row(TITLES[work], *(requests(figure.requests, factor) if figure else "" for figure in figures))
    return table


def requests(each: Mapping[str, float], factor: float = 1) -> str:
    """ "2.00: lookup 1.00, open 1.00"; "none" where the kernel did it all. Less than 0.01 is left out."""
    shown = {name: value * factor for name, value in each.items() if value * factor >= 0.005}
    words = ", ".join(f"{name} {value:.2f}" for name, value in shown.items())
    return f"{sum(shown.values()):.2f}: {words}" if shown else "none"


def targets_table(verdicts: Sequence[Verdict]) -> Table:
    """Each target beside what was measured."""
    table = new_table("Targets: ratios of the medians")
    for title in ("place", "work", "against"):
        table.add_column(title)
    for title in ("target", "ratio"):
        table.add_column(title, justify="right")
    table.add_column("")
    for verdict in verdicts:
        target = verdict.target
        mark = Text("reached", style="green") if verdict.reached else Text("not reached", style="bold red")
        row = (target.place, TITLES[target.work], target.reference, f">= {target.factor:.2f}", f"{verdict.ratio:.2f}")
        table.add_row(*row, mark)
    return table


def limit_line(limit: Limit) -> str:
    """A limit beside what was measured."""
    mark = "[green]reached[/]" if limit.reached else "[bold red]not reached[/]"
    return f"{limit.title:<62} {limit.value:>9.2f} {limit.unit:<6} <= {limit.limit:g}  {mark}"


def judged(verdicts: Sequence[Verdict] | Sequence[Limit]) -> list[dict[str, Any]]:
    """Verdicts or limits as JSON has them."""
    return [{**asdict(verdict), "reached": verdict.reached} for verdict in verdicts]


def show(console: Console, samples: Samples, places: Sequence[Place], verdicts: Sequence[Verdict]) -> None:
    """All of it."""
    works = [piece.name for piece in PIECES] + [MOUNT]
    for family in FAMILIES:
        if any(place.family == family for place in places):
            console.print(family_table(samples, places, works, family), "")
    counted = [place.name for place in places if place.name.endswith("/kernel")]
    if counted:
        console.print(requests_table(samples, counted, works), "")
    if verdicts:
        console.print(targets_table(verdicts))
        reached = sum(verdict.reached for verdict in verdicts)
        console.print(f"{reached} of {len(verdicts)} targets are reached.\n")
    for line in failures(samples):
        console.print(line, style="yellow", highlight=False, markup=False)


def failures(samples: Samples) -> list[str]:
    """A line for each place that could not do everything, with what went wrong first."""
    found: dict[str, list[Failure]] = {}
    for failure in samples.failures:
        found.setdefault(failure.place, []).append(failure)
    return [
        f"{place} can't do {', '.join(failure.work for failure in failed)}: {failed[0].reason}"
        for place, failed in found.items()
    ]
