"""The picture: for each work a group of bars, how many times as fast as one reference, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmark.report import TITLES, digits, rate
from benchmark.samples import Samples

REFERENCES = {"rclone": "rclone mount", "tmpfs": "tmpfs"}
"""What the bars are measured by: the first of these that took part, and what it is called."""
SERIES = {
    "memory/kernel": "vfs, in memory",
    "local/kernel": "vfs, local files",
    "local/fusepy": "vfs, local files, through fusepy",
    "passthrough_hp": "passthrough_hp, local files, in C",
    "disk": "the disk, without FUSE",
}
WORKS = (
    *("create", "stat-cold", "ls-cold", "read-cold", "rename", "unlink"),
    *("write", "seq-read-cold", "random-read", "random-write", "cp", "git-status"),
)

WIDTH, LEFT, RIGHT, TOP = 900, 230, 60, 78
BAR, GAP = 10, 14
"""The height of a bar, and the room between two groups."""

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 } .small { font-size: 10px; fill: #57606a }
.grid { stroke: #d0d7de } .one { stroke: #57606a; stroke-width: 1.5 }
.s0 { fill: #0969da } .s1 { fill: #1a7f37 } .s2 { fill: #8250df } .s3 { fill: #bf8700 } .s4 { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }
  .s0 { fill: #4493f8 } .s1 { fill: #3fb950 } .s2 { fill: #ab7df8 } .s3 { fill: #d29922 } .s4 { fill: #656c76 }
}
"""


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis between two ratios."""

    low: float
    high: float

    def x(self, ratio: float) -> float:
        """Where on the picture a ratio lies."""
        span = math.log10(self.high / self.low)
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(ratio / self.low) / span

    def ticks(self) -> Iterator[float]:
        """The powers of ten within."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        return (10.0**power for power in range(first, last + 1))


def axis_of(ratios: Sequence[float]) -> Axis:
    """The axis of whole halves of powers of ten that holds all ratios, and 1 with some room for words."""
    low, high = min(*ratios, 0.5), max(*ratios, 2.0)
    return Axis(10.0 ** (math.floor(2 * math.log10(low)) / 2), 10.0 ** (math.ceil(2 * math.log10(high)) / 2))


def draw(samples: Samples, machine: str) -> str:
    """The SVG document; `machine` is the line below the title. ValueError without anything to compare with."""
    reference = next((name for name in REFERENCES if any(samples.figure(name, work) for work in WORKS)), None)
    if reference is None:
        raise ValueError(f"a picture needs one of {', '.join(REFERENCES)} among the places")
    groups = {
        work: found
        for work in WORKS
        if (found := {name: ratio for name in SERIES if (ratio := samples.ratio(work, name, reference)) is not None})
    }
    if not groups:
        raise ValueError(f"a picture needs one of {', '.join(SERIES)} among the places")
    axis = axis_of([ratio for group in groups.values() for ratio in group.values()])
    body: list[str] = []
    bottom = TOP
    for work, group in groups.items():
        body += _group(samples, work, group, axis, bottom)
        bottom += len(group) * BAR + GAP
    shown = [name for name in SERIES if any(name in group for group in groups.values())]
    parts = [*_head(shown, REFERENCES[reference], machine), *_grid(axis, bottom), *body]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 24}" role="img">'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def _head(series: Sequence[str], reference: str, machine: str) -> Iterator[str]:
    yield _text(10, 20, f"How many times as fast as {reference}", "title")
    yield _text(10, 36, machine, "small")
    x = 10.0
    for name in series:
        yield f'<rect x="{x:.1f}" y="48" width="10" height="10" class="s{[*SERIES].index(name)}"/>'
        yield _text(x + 14, 57, SERIES[name])
        x += 30 + 6.2 * len(SERIES[name])


def _grid(axis: Axis, bottom: float) -> Iterator[str]:
    for tick in axis.ticks():
        x = axis.x(tick)
        style = "one" if tick == 1 else "grid"
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}" class="{style}"/>'
        yield _text(x, bottom + 14, f"{tick:g}x", "small", "middle")


def _group(samples: Samples, work: str, group: dict[str, float], axis: Axis, top: float) -> Iterator[str]:
    """The bars of one work, each with its own figure at its end."""
    yield _text(LEFT - 60, top + len(group) * BAR / 2 + 4, TITLES[work], anchor="end")
    for row, (name, ratio) in enumerate(group.items()):
        start, end = sorted((axis.x(1), axis.x(ratio)))
        y = top + row * BAR
        figure = samples.figure(name, work)
        assert figure is not None
        tip = f"{SERIES[name]}: {TITLES[work]}, {rate(work, figure.rate)}, {digits(ratio)}x"
        yield (
            f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR - 1}" '
            f'class="s{[*SERIES].index(name)}"><title>{escape(tip)}</title></rect>'
        )
        if ratio >= 1:
            yield _text(end + 4, y + BAR - 1, rate(work, figure.rate), "small")
        else:
            yield _text(start - 4, y + BAR - 1, rate(work, figure.rate), "small", "end")
