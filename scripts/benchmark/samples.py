"""What was measured: one sample a piece, place and round, and the medians over the rounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One piece of work in one place in one round."""

    place: str
    work: str
    amount: int
    """Operations or bytes; 1 where the time itself is the figure."""
    seconds: float
    cpu_seconds: float | None = None
    """Of the daemon, if there is one."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """What the daemon answered meanwhile, by operation; empty where nobody counts."""
    memory: int | None = None
    """The most bytes that the daemon has had resident until then, if there is one."""

    @property
    def rate(self) -> float:
        """Operations or bytes a second."""
        return self.amount / self.seconds


@dataclass(frozen=True)
class Figure:
    """The medians of the samples of one piece in one place."""

    rate: float
    """Operations or bytes a second."""
    cpu: float | None
    """Seconds of the daemon's CPU time for one operation or byte."""
    requests: Mapping[str, float]
    """Requests for one operation or byte, the most frequent first."""
    rounds: int


@dataclass(frozen=True)
class Failure:
    """A piece that could not be done in a place."""

    place: str
    work: str
    reason: str


class Samples:
    """All samples of a run, and what failed."""

    def __init__(self, samples: Iterable[Sample] = (), failures: Iterable[Failure] = ()) -> None:
        """Start with what there is already."""
        self.samples = list(samples)
        self.failures = list(failures)

    def figure(self, place: str, work: str) -> Figure | None:
        """The medians for one piece in one place; None where it was not measured."""
        found = [sample for sample in self.samples if (sample.place, sample.work) == (place, work)]
        if not found:
            return None
        cpu = [sample.cpu_seconds / sample.amount for sample in found if sample.cpu_seconds is not None]
        rate = median(sample.rate for sample in found)
        return Figure(rate, median(cpu) if cpu else None, _requests(found), len(found))

    def ratio(self, work: str, place: str, reference: str) -> float | None:
        """How many times as fast `place` is as `reference`; None where one of them was not measured."""
        ours, theirs = self.figure(place, work), self.figure(reference, work)
        return None if ours is None or theirs is None else ours.rate / theirs.rate

    def memory(self, place: str) -> int | None:
        """The most bytes that the daemon of a place has had resident, in any round; None where there is none."""
        return max((each.memory for each in self.samples if each.place == place and each.memory), default=None)

    def failed(self, place: str, work: str) -> bool:
        """Whether the piece could not be done there."""
        return any((failure.place, failure.work) == (place, work) for failure in self.failures)

    def as_json(self) -> dict[str, Any]:
        """All of it, medians included."""
        keys = sorted({(sample.place, sample.work) for sample in self.samples})
        figures = [{"place": key[0], "work": key[1], **asdict(figure)} for key in keys if (figure := self.figure(*key))]
        return {
            "figures": figures,
            "failures": [asdict(failure) for failure in self.failures],
            "samples": [{**asdict(sample), "rate": sample.rate} for sample in self.samples],
        }


def _requests(samples: list[Sample]) -> dict[str, float]:
    names = {name for sample in samples for name in sample.requests}
    each = {name: median(sample.requests.get(name, 0) / sample.amount for sample in samples) for name in names}
    return {name: value for name, value in sorted(each.items(), key=lambda item: (-item[1], item[0])) if value}
