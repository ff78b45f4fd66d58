"""Where cp and mv put each of their sources."""

from __future__ import annotations

from collections.abc import Sequence

from vfs.cli.errors import CommandError, Failures
from vfs.cli.places import Place
from vfs.cli.targets import Target

Pair = tuple[Place, Place]


def destinations(
    sources: Sequence[tuple[Target, Place]], target: Target, place: Place, failures: Failures
) -> list[Pair]:
    """The exact destination of each source: `place` itself, or its name in that directory.

    CommandError where it would have to be a directory and is none. A source that cannot go there (onto or into itself,
    or where another of the sources goes) is reported and left out.
    """
    into = _is_directory(target, place)
    if not into and len(sources) > 1:
        raise CommandError(f"{place.shown} is no directory; several files need one: end it with '/'")
    pairs: list[Pair] = []
    taken: set[str] = set()
    for source_target, source in sources:
        destination = place / source.last if into and not source_target.is_content else place
        with failures.catching(f"{source.shown} -> {destination.shown}"):
            if target.says_directory and not into and not source.stat().is_dir:
                raise CommandError(f"there is no directory {place.shown}")
            _check(source, destination)
            if destination.name in taken and not source_target.is_content:
                raise CommandError("another one of these goes there")
            taken.add(destination.name)
            pairs.append((source, destination))
    return pairs


def _is_directory(target: Target, place: Place) -> bool:
    """Whether the destination is a directory, or is to become one; CommandError where it cannot."""
    if not place.local and not place.name:
        return True
    entry = place.find(follow=True)
    if entry is not None:
        if target.says_directory and not entry.is_dir:
            raise CommandError(f"{place.shown} is no directory")
        return entry.is_dir
    # Storing in a storage makes the directories that are missing; a local one must be there.
    return target.says_directory and not place.local


def _check(source: Place, destination: Place) -> None:
    if not source.contains(destination):
        return
    same = destination.contains(source)
    if same:
        raise CommandError("these are the same file")
    if source.stat().is_dir:
        raise CommandError("a directory cannot go into itself")
