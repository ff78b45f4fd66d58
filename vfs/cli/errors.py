"""What becomes of exceptions: one line on stderr, `vfs: message`, and an exit code.

    click's usage errors                                 2
    interrupted (Ctrl-C)                                 130
    whoever read stdout went away (`vfs ls a: | head`)   141, silently: as a shell reports it of other programs
    `vfs mount --foreground`, told something impossible  78, for a service manager: there is no sense in another try
    everything else                                      1

Commands let exceptions pass. One that goes on after a failure, as cp and rm do, hands it to `Failures` and returns the
exit code of that.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from vfs.cli import output
from vfs.cli.names import printable

FAILED = 1
CONFIGURATION = 78
"""EX_CONFIG of sysexits.h, which systemd knows as well."""
INTERRUPTED = 130
NOBODY_READS = 141

logger = logging.getLogger("vfs.cli")


class CommandError(Exception):
    """A command cannot do what was asked; the message says why, and what to do next."""


class CancelledError(Exception):
    """The command is to end; what is under way in other threads is given up."""


class Failures:
    """What went wrong in a command that goes on with the rest; safe to use from many threads."""

    def __init__(self) -> None:
        """Nothing, so far."""
        self.count = 0
        self._lock = threading.Lock()

    def report(self, error: BaseException, subject: str = "") -> None:
        """Tell of one failure; `subject` is what it is about, already escaped, as in "media:a.txt"."""
        with self._lock:
            self.count += 1
            _tell(error, subject)

    @contextmanager
    def catching(self, subject: str = "") -> Iterator[None]:
        """Report what the block raises, and go on; but not where the whole command is to end."""
        try:
            yield
        except (output.OutputClosedError, CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - a backend may raise anything, and the others are still to be done
            self.report(error, subject)

    @property
    def exit_code(self) -> int:
        """What the command returns."""
        return FAILED if self.count else 0


def report(error: BaseException) -> int:
    """Tell what ended the command, and return its exit code."""
    match error:
        case output.OutputClosedError():
            output.discard()
            return NOBODY_READS
        case SystemExit():
            return error.code if isinstance(error.code, int) else FAILED
        case click.Abort() | KeyboardInterrupt():
            click.echo("vfs: interrupted", err=True)
            return INTERRUPTED
        case click.ClickException():
            error.show()
            return error.exit_code
        case _:
            _tell(error)
            return FAILED


def warn(message: str) -> None:
    """Tell something that is no failure."""
    click.echo(f"vfs: {printable(message)}", err=True)


def _tell(error: BaseException, subject: str = "") -> None:
    before = subject if subject.endswith(":") else f"{subject}:"
    words = printable(describe(error, named=bool(subject)))
    click.echo(f"vfs: {before} {words}" if subject else f"vfs: {words}", err=True)
    if is_verbose():
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)


def describe(error: BaseException, *, named: bool = False) -> str:
    """The message of an exception for people; where it is `named` already, the file of an OSError is left out."""
    if isinstance(error, OSError) and error.strerror:
        files = [repr(name) for name in (error.filename, error.filename2) if name]
        return error.strerror if named or not files else f"{' -> '.join(files)}: {error.strerror}"
    if isinstance(error, NotImplementedError):
        return str(error) or "the storage has no such operation"
    if isinstance(error, _plain_errors()) and str(error):
        return str(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text if is_verbose() else f"{text} (vfs -v shows where)"


def _plain_errors() -> tuple[type[BaseException], ...]:
    """The exceptions whose message is a whole sentence by itself."""
    from storage.exceptions import ImproperlyConfigured, SuspiciousOperation
    from vfs.mounts.options import OptionError

    own: tuple[type[BaseException], ...] = (
        CommandError,
        ImproperlyConfigured,
        SuspiciousOperation,
        OptionError,
        OSError,
    )
    if "vfs.mounts.mountpoint" in sys.modules:  # else nobody can have raised it, and its import is not for free
        from vfs.mounts.mountpoint import MountError

        own = (*own, MountError)
    return own


class _Lines(logging.Formatter):
    """Log records in the form of the other messages."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"vfs: {printable(record.getMessage())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _is_news(record: logging.LogRecord) -> bool:
    """Whether no exception says the same, which is told when it ends the command."""
    return is_verbose() or not getattr(record, "is_raised", False)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what is sys.stderr now: a progress bar puts itself in between."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def is_verbose() -> bool:
    """Whether tracebacks are shown."""
    return logger.isEnabledFor(logging.DEBUG)


def be_verbose() -> None:
    """Show tracebacks from now on."""
    logger.setLevel(logging.DEBUG)


def set_up_logging(verbose: bool) -> None:
    """Show warnings on stderr, and with `verbose` everything."""
    handler = _Stderr()
    handler.setFormatter(_Lines())
    handler.addFilter(_is_news)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for name in ("vfs", "storage"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.NOTSET)
