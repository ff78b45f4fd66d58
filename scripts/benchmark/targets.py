"""What the kernel transport must reach, as data: ratios of medians of one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmark.samples import Samples

METADATA = ("create", "stat-cold", "rename", "unlink", "ls-cold")
RANDOM = ("random-read", "random-write")
SEQUENTIAL = ("write", "seq-read-cold")


@dataclass(frozen=True)
class Target:
    """`place` must be `factor` times as fast as `reference` at `work`."""

    place: str
    work: str
    reference: str
    factor: float


def _targets(place: str, reference: str, factor: float, works: Iterable[str]) -> Iterator[Target]:
    return (Target(place, work, reference, factor) for work in works)


def _all() -> Iterator[Target]:
    memory, local = "memory/kernel", "local/kernel"
    yield from _targets(memory, "tmpfs", 0.90, SEQUENTIAL)
    yield from _targets(local, "disk", 0.90, SEQUENTIAL)
    yield from _targets(memory, "bare/memory", 0.95, RANDOM)
    yield from _targets(local, "bare/local", 0.95, RANDOM)
    yield from _targets(memory, "memfs_ll", 1.0, (*METADATA, "read-cold"))
    yield from _targets(local, "passthrough_hp", 1.0, METADATA)
    yield from _targets(local, "passthrough_hp", 0.9, ("read-cold", *SEQUENTIAL))
    for place in (memory, local):
        yield from _targets(place, "rclone", 8.0, ("create", "read-cold", "ls-cold"))
        yield Target(place, "stat-cold", "rclone", 3.0)
        yield from _targets(f"{place}-user", "rclone", 3.0, SEQUENTIAL)


TARGETS = tuple(_all())


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured."""

    target: Target
    ratio: float

    @property
    def reached(self) -> bool:
        """Whether it is reached, to the two decimals that are shown."""
        return round(self.ratio, 2) >= self.target.factor


@dataclass(frozen=True)
class Limit:
    """A figure that must not exceed its limit."""

    title: str
    value: float
    limit: float
    unit: str

    @property
    def reached(self) -> bool:
        """Whether it does not."""
        return self.value <= self.limit


def judge(samples: Samples, targets: Iterable[Target] = TARGETS) -> list[Verdict]:
    """The verdicts on those targets both sides of which were measured."""
    return [
        Verdict(target, ratio)
        for target in targets
        if (ratio := samples.ratio(target.work, target.place, target.reference)) is not None
    ]
