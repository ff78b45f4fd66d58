"""What was found: as rows for people, and as one object for programs.

The object, as `vfs doctor --json` writes it:

    status      "ok", "warning" or "failure": the worst of what was found
    checks      an array of {"name", "status", "message", "advice"}; no advice is ""
    alias       the alias, null without one
    backend     the dotted path of its class, as it is configured; "" where it is not
    operations  an array of {"name", "way", "atomic", "milliseconds", "note"}, empty where nothing could be tried:
                way is "native" (the backend does it), "emulated" (made of other operations, or done by the mount),
                "refused" or "failed"; atomic is true, false, or null where it has no meaning or is not known;
                milliseconds is the median of a few, null where nothing was done
    left        an array of names: what was stored to try things with and could not be removed
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vfs.doctor.checks import Check, Status
from vfs.doctor.operations import Operation

_ATOMIC = {True: "atomic", False: "not atomic", None: ""}


@dataclass
class Report:
    """What was found of the machine and, with an alias, of its storage."""

    checks: list[Check] = field(default_factory=list)
    alias: str | None = None
    backend: str = ""
    operations: list[Operation] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What could not be removed of what was stored."""

    @property
    def status(self) -> Status:
        """The worst of all; an operation that fails is a failure."""
        found = {check.status for check in self.checks}
        if Status.FAILURE in found or any(operation.way == "failed" for operation in self.operations):
            return Status.FAILURE
        return Status.WARNING if Status.WARNING in found else Status.OK

    def as_object(self) -> dict[str, Any]:
        """For JSON; see the module."""
        return {
            "status": str(self.status),
            "checks": [{**check._asdict(), "status": str(check.status)} for check in self.checks],
            "alias": self.alias,
            "backend": self.backend,
            "operations": [operation._asdict() for operation in self.operations],
            "left": self.left,
        }

    def check_rows(self) -> Iterator[Sequence[str]]:
        """A row for each check, and one for the advice of each."""
        for check in self.checks:
            yield str(check.status), check.name, check.message
            if check.advice:
                yield "", "", f"-> {check.advice}"

    def operation_rows(self) -> Iterator[Sequence[str]]:
        """A heading, and a row for each operation."""
        yield "operation", "", "", "ms", ""
        for operation in self.operations:
            time = "" if operation.milliseconds is None else f"{operation.milliseconds:.2f}"
            yield operation.name, operation.way, _ATOMIC[operation.atomic], time, operation.note
