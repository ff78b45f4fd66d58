"""All of it, in order: the machine, then a storage, then what it can do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vfs.doctor import access, folders, machine, surroundings
from vfs.doctor.checks import Status, Words, failure
from vfs.doctor.operations import TRIALS, try_out
from vfs.doctor.report import Report
from vfs.doctor.scratch import Scratch
from vfs.guard import GuardedStorage, guarded
from vfs.mounts.options import MountOptions

if TYPE_CHECKING:
    from storage.base import Storage


def examine(
    alias: str | None, options: MountOptions | None = None, *, tell: Callable[[], None] = lambda: None
) -> Report:
    """Look at the machine as a mount with these options needs it and, with an alias, try what its storage can do.

    With the option `ro` nothing is stored, so nothing is tried. `tell` is called after each operation of
    `TRIALS` that was tried. A first Ctrl-C lets the one under way end, and what was stored is removed before it is
    raised.
    """
    options = options or MountOptions()
    report = Report([*machine.checks(options), *folders.checks(options), *surroundings.checks()])
    if alias is not None:
        report.alias, (report.backend, definition) = alias, access.definition_of(alias)
        words = Words(definition)
        storage, check = access.made(alias, words)
        report.checks.append(check)
        if storage is not None:
            _examine_storage(storage, options, report, words, tell)
    return report


def _examine_storage(
    storage: Storage, options: MountOptions, report: Report, words: Words, tell: Callable[[], None]
) -> None:
    """Ask it as a mount does: with an end to each call."""
    watched = guarded(storage, options.timeout) if options.timeout else storage
    try:
        report.checks.append(access.answers(watched, words))
        if report.checks[-1].status is not Status.FAILURE and not options.ro:
            try_storage(watched, report, words, tell)
    finally:
        if isinstance(watched, GuardedStorage):
            watched.guard.close()


def try_storage(storage: Storage, report: Report, words: Words, tell: Callable[[], None] = lambda: None) -> None:
    """Try each operation in a directory of the storage, which goes again, and add what is found to the report."""
    with _patient() as go_on:
        with Scratch(storage) as scratch:
            is_stored, found = access.stores(scratch, words)
            report.checks += found
            for trial in TRIALS if is_stored else ():
                report.operations.append(try_out(trial, scratch, words, go_on))
                tell()
        if scratch.left:
            advice = "remove it by hand, with `vfs rm -r` or the storage's own tools"
            message = f"this may be left in the storage: {', '.join(scratch.left)}"
            report.checks.append(failure("leftovers", message, advice))
        report.left = scratch.left
        go_on()


@contextmanager
def _patient() -> Iterator[Callable[[], None]]:
    """A block that a first Ctrl-C ends only where it calls what it is given; a second one ends it at once."""
    interrupted = threading.Event()

    def go_on() -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt

    def note(*_: object) -> None:
        go_on()
        interrupted.set()

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield go_on
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield go_on
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
