"""The report on a bucket: figures, memory, requests, targets."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmark import report
from benchmark.places import Place
from benchmark.remote import targets
from benchmark.remote.places import FAMILY
from benchmark.remote.proxy import FETCHED, KINDS
from benchmark.remote.work import PIECES
from benchmark.samples import Sample, Samples
from benchmark.targets import judge


def show(console: Console, timed: Samples, counted: Samples, places: Sequence[Place]) -> None:
    """All of it."""
    works = [piece.name for piece in PIECES]
    figures = report.family_table(timed, places, works, FAMILY)
    figures.add_row("memory of the daemon at most", *(_memory(timed, place) for place in places))
    console.print(figures, "")
    console.print(requests_table(counted, places), "")
    verdicts, limits = judge(timed, targets.TARGETS), [*targets.limits(timed, counted)]
    console.print(report.targets_table(verdicts))
    for limit in limits:
        console.print(report.limit_line(limit))
    reached = sum(verdict.reached for verdict in verdicts) + sum(limit.reached for limit in limits)
    console.print(f"{reached} of {len(verdicts) + len(limits)} targets are reached.\n")
    for line in report.failures(Samples((), [*timed.failures, *counted.failures])):
        console.print(line, style="yellow", highlight=False, markup=False)


def requests_table(counted: Samples, places: Sequence[Place]) -> Table:
    """What each piece of work has asked of the server in the counting round."""
    table = report.new_table("Requests to the server and MiB fetched from it, for all of a work")
    table.add_column("", no_wrap=True)
    for place in places:
        table.add_column(place.title)
    found = {(sample.place, sample.work): sample for sample in counted.samples}
    for piece in PIECES:
        samples = [found.get((place.name, piece.name)) for place in places]
        if any(samples):
            table.add_row(piece.title, *(_requests(sample) for sample in samples))
    return table


def _requests(sample: Sample | None) -> str:
    if sample is None:
        return ""
    kinds = [f"{sample.requests[kind]} {kind}" for kind in KINDS if sample.requests.get(kind)]
    return ", ".join([*kinds, f"{sample.requests.get(FETCHED, 0) / 2**20:.1f} MiB"])


def _memory(timed: Samples, place: Place) -> str:
    memory = timed.memory(place.name)
    return "" if memory is None else f"{memory / 2**20:.0f} MiB"


def as_json(timed: Samples, counted: Samples) -> dict[str, object]:
    """All samples, what was counted, and the verdicts."""
    return {
        **timed.as_json(),
        "counted": counted.as_json()["samples"],
        "memory": {name: timed.memory(name) for name in sorted({sample.place for sample in timed.samples})},
        "targets": report.judged(judge(timed, targets.TARGETS)),
        "limits": report.judged([*targets.limits(timed, counted)]),
    }
