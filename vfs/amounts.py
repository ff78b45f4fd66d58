"""Amounts for people: sizes and durations."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(count: int | None, *, exact: bool = False) -> str:
    """A number of bytes for people, such as "1.5 MiB"; with `exact` the number; "?" for None."""
    if count is None:
        return "?"
    if exact:
        return str(count)
    number, unit = float(count), 0
    while number >= 999.95 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def age(seconds: float) -> str:
    """A duration for people: its two greatest units, as in "2 h 5 min"."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if rest >= length or (unit == "s" and not parts):
            parts.append(f"{rest // length} {unit}")
        rest %= length
    return " ".join(parts[:2])
