"""The operations of the extended surface, each with how it is tried; `TRIALS` has them in the order of the report.

A trial makes what it needs, does the one thing that is timed, and looks at what came of it: it raises what the
operation raises, and WrongError where that did nothing, or something else.
"""

from __future__ import annotations

import errno
import stat
import statistics
from collections.abc import Callable
from typing import Literal, NamedTuple

from storage.base import RENAME_EXCHANGE, RENAME_NOREPLACE, Condition
from storage.exceptions import VersionMismatchError
from storage.files import ContentFile
from vfs.doctor.checks import Words, WrongError
from vfs.doctor.rivals import are_noticed
from vfs.doctor.scratch import CONTENT, Scratch

Way = Literal["native", "emulated", "refused", "failed"]

_OTHER = b"other"
_MODE = 0o640
_MOMENT = 1_500_000_000 * 10**9
_XATTR = "user.vfs-doctor"
_IN_SPOOL = "by a mount, through its spool"
_BY_MOUNT = "by a mount, for as long as it lives"
_ROUNDS = 3
_UNSUPPORTED = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM})
"""What a filesystem answers that has no such operation."""


class Operation(NamedTuple):
    """What was found out of one operation."""

    name: str
    way: Way
    """By the backend itself, made of other operations, not at all, or it should be there and fails."""
    atomic: bool | None
    """Whether nobody can come between its steps; None where that has no meaning, or is not known."""
    milliseconds: float | None
    """The median of a few."""
    note: str = ""


class Trial(NamedTuple):
    """How one operation is tried."""

    name: str
    run: Callable[[Scratch], None]
    method: str = ""
    """The method that a storage is asked about, whether it does that itself; without, the trial finds that out."""
    instead: str = ""
    """Who does it where the storage refuses to."""


def _stat(scratch: Scratch) -> None:
    with scratch.timed():
        entry = scratch.storage.stat(scratch.shared)
    if not entry.is_file or entry.size != len(CONTENT):
        raise WrongError(f"a file of {len(CONTENT)} bytes is shown as {entry.size} bytes")
    told = {"time": entry.mtime_ns, "version": entry.version, "mode": entry.mode, "owner": entry.uid}
    missing = [word for word, value in told.items() if value is None]
    scratch.note = f"tells no {' and no '.join(missing)}" if missing else ""


def _scandir(scratch: Scratch) -> None:
    with scratch.timed():
        names = [entry.name for entry in scratch.storage.scandir(scratch.root)]
    if scratch.shared.rpartition("/")[2] not in names:
        raise WrongError("a file that is there is not listed")


def _read_range(scratch: Scratch) -> None:
    entry = scratch.storage.stat(scratch.shared)
    with scratch.timed(), scratch.storage.open_version(scratch.shared, entry) as file:
        found = file.pread(7, 4)
        scratch.is_native = file.ranged or file.content_fd() is not None
    if found != CONTENT[4:11]:
        raise WrongError("a part that was read is not that part")


def _save(scratch: Scratch) -> None:
    name = scratch.name()
    with scratch.timed():
        scratch.save(name)
    scratch.expect(name)
    scratch.is_native = True


def _replace(scratch: Scratch) -> None:
    name = scratch.file()
    with scratch.timed():
        scratch.storage.replace(name, ContentFile(_OTHER))
    scratch.expect(name, _OTHER)


def _replace_if_absent(scratch: Scratch) -> None:
    storage, name = scratch.storage, scratch.name()
    with scratch.timed():
        storage.replace(name, ContentFile(CONTENT), if_absent=True)
    try:
        storage.replace(name, ContentFile(_OTHER), if_absent=True)
    except FileExistsError:
        scratch.expect(name)
    else:
        raise WrongError("what was there was replaced all the same")
    _look_who_holds(scratch, "if_absent", scratch.name())


def _replace_if_version(scratch: Scratch) -> None:
    storage, name = scratch.storage, scratch.file()
    first = storage.stat(name).version
    if first is None:
        raise NotImplementedError("the storage tells no versions")
    with scratch.timed():
        entry = storage.replace(name, ContentFile(_OTHER), if_version=first)
    try:
        storage.replace(name, ContentFile(b""), if_version=first)
    except VersionMismatchError:
        scratch.expect(name, _OTHER)
    else:
        raise WrongError("another version was replaced all the same")
    _look_who_holds(scratch, "if_version", name, entry.version)


def _look_who_holds(scratch: Scratch, condition: Condition, name: str, version: str | None = None) -> None:
    """By what the storage says, and by rivals."""
    held = scratch.storage.holds(condition)
    if held is not False and not are_noticed(scratch.storage, name, if_version=version):
        held = False
        scratch.note = "the server overwrites who comes in between"
    scratch.is_native, scratch.is_atomic = held is not False, held


def _write_in_place(scratch: Scratch) -> None:
    if not scratch.storage.in_place:
        raise NotImplementedError
    name = scratch.file()
    with scratch.timed(), scratch.storage.open(name, "r+b") as file:
        file.pwrite(_OTHER, 0)
    scratch.expect(name, _OTHER + CONTENT[len(_OTHER) :])
    scratch.is_native = True


def _tmpfile(scratch: Scratch) -> None:
    with scratch.timed(), scratch.storage.tmpfile(scratch.root) as file:
        file.write(_OTHER)


def _copy(scratch: Scratch) -> None:
    name = scratch.name()
    with scratch.timed():
        scratch.storage.copy(scratch.shared, name)
    scratch.expect(name)


def _rename(scratch: Scratch) -> None:
    src, dst = scratch.file(), scratch.file(content=_OTHER)
    with scratch.timed():
        scratch.storage.rename(src, dst)
    scratch.expect(dst)
    scratch.expect_none(src)
    scratch.is_atomic = scratch.storage.does_itself("rename")


def _rename_noreplace(scratch: Scratch) -> None:
    storage, src, dst = scratch.storage, scratch.file(), scratch.name()
    with scratch.timed():
        storage.rename(src, dst, RENAME_NOREPLACE)
    try:
        storage.rename(scratch.shared, dst, RENAME_NOREPLACE)
    except FileExistsError:
        scratch.expect(dst)
    else:
        raise WrongError("what was there was replaced all the same")


def _rename_exchange(scratch: Scratch) -> None:
    one, other = scratch.file(), scratch.file(content=_OTHER)
    with scratch.timed():
        scratch.storage.rename(one, other, RENAME_EXCHANGE)
    scratch.expect(one, _OTHER)
    scratch.expect(other)
    scratch.is_atomic = scratch.storage.does_itself("rename")


def _rename_directory(scratch: Scratch) -> None:
    src, dst = scratch.name(), scratch.name()
    scratch.save(f"{src}/file")
    with scratch.timed():
        scratch.storage.rename(src, dst)
    scratch.expect(f"{dst}/file")
    scratch.expect_none(f"{src}/file")
    scratch.is_native = scratch.is_atomic = scratch.storage.renames_directories


def _unlink(scratch: Scratch) -> None:
    name = scratch.file()
    with scratch.timed():
        scratch.storage.unlink(name)
    scratch.expect_none(name)


def _mkdir(scratch: Scratch) -> None:
    name = scratch.name()
    with scratch.timed():
        scratch.storage.mkdir(name)
    if not scratch.storage.stat(name).is_dir:
        raise WrongError("it is no directory")


def _rmdir(scratch: Scratch) -> None:
    name = scratch.name()
    scratch.storage.mkdir(name)
    with scratch.timed():
        scratch.storage.rmdir(name)
    scratch.expect_none(name)


def _set_attributes(scratch: Scratch) -> None:
    storage, name = scratch.storage, scratch.file()
    with scratch.timed():
        storage.set_attributes(name, mode=_MODE, mtime_ns=_MOMENT)
    entry = storage.stat(name)
    if entry.mode != _MODE or entry.mtime_ns != _MOMENT:
        raise WrongError("mode and time are not those that were set")


def _symlink(scratch: Scratch) -> None:
    name = scratch.name()
    with scratch.timed():
        scratch.storage.symlink("shared", name)
    if scratch.storage.readlink(name) != "shared":
        raise WrongError("the link points elsewhere")


def _link(scratch: Scratch) -> None:
    src, dst = scratch.file(), scratch.name()
    with scratch.timed():
        scratch.storage.link(src, dst)
    scratch.expect(dst)
    if not scratch.storage.in_place:
        scratch.note = "a mount refuses it: what is given to one name would not show under the other"


def _mknod(scratch: Scratch) -> None:
    with scratch.timed():
        scratch.storage.mknod(scratch.name(), stat.S_IFIFO | _MODE)


def _xattrs(scratch: Scratch) -> None:
    storage, name = scratch.storage, scratch.file()
    with scratch.timed():
        storage.setxattr(name, _XATTR, _OTHER)
    if storage.getxattr(name, _XATTR) != _OTHER or _XATTR not in storage.listxattr(name):
        raise WrongError("the attribute is not as it was set")
    storage.removexattr(name, _XATTR)


def _usage(scratch: Scratch) -> None:
    with scratch.timed():
        scratch.storage.usage()


def _url(scratch: Scratch) -> None:
    try:
        with scratch.timed():
            scratch.storage.url(scratch.shared)
        scratch.is_native = True
    except Exception as error:  # backends have no error in common for it: Django's is ValueError
        raise NotImplementedError(f"no address: {error}") from error


TRIALS = (
    Trial("stat", _stat, "stat"),
    Trial("scandir", _scandir, "scandir"),
    Trial("read ranges", _read_range),
    Trial("save", _save),
    Trial("replace", _replace, "replace"),
    Trial("replace if absent", _replace_if_absent, "replace"),
    Trial("replace if version", _replace_if_version, "replace"),
    Trial("write in place", _write_in_place, instead=_IN_SPOOL),
    Trial("unnamed file", _tmpfile, "tmpfile", instead=_IN_SPOOL),
    Trial("copy", _copy, "copy"),
    Trial("rename", _rename, "rename"),
    Trial("rename noreplace", _rename_noreplace, "rename"),
    Trial("rename exchange", _rename_exchange, "rename"),
    Trial("rename directory", _rename_directory),
    Trial("unlink", _unlink, "unlink"),
    Trial("mkdir", _mkdir, "mkdir", instead=_BY_MOUNT),
    Trial("rmdir", _rmdir, "rmdir", instead=_BY_MOUNT),
    Trial("set_attributes", _set_attributes, "set_attributes", instead=_BY_MOUNT),
    Trial("symlink", _symlink, "symlink"),
    Trial("link", _link, "link"),
    Trial("mknod", _mknod, "mknod"),
    Trial("xattrs", _xattrs, "setxattr"),
    Trial("usage", _usage, "usage"),
    Trial("url", _url),
)
"""Everything that is tried."""


def try_out(trial: Trial, scratch: Scratch, words: Words, go_on: Callable[[], None]) -> Operation:
    """Try one operation a few times, and call `go_on` before each; whatever the operation raises is told."""
    seconds = []
    for _ in range(_ROUNDS):
        go_on()
        scratch.begin()
        try:
            trial.run(scratch)
        except NotImplementedError as error:
            unexpected = scratch.storage.does_itself(trial.method) if trial.method else bool(str(error))
            return _refused(trial, words.of(error) if unexpected else "")
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                return Operation(trial.name, "failed", None, None, words.of(error))
            return _refused(trial, words.of(error))
        except Exception as error:  # noqa: BLE001 - a backend may raise anything, and the others are still to be tried
            return Operation(trial.name, "failed", None, None, words.of(error))
        seconds.append(scratch.seconds)
    native = scratch.storage.does_itself(trial.method) if scratch.is_native is None else scratch.is_native
    milliseconds = round(statistics.median(seconds) * 1000, 3)
    return Operation(trial.name, "native" if native else "emulated", scratch.is_atomic, milliseconds, scratch.note)


def _refused(trial: Trial, why: str) -> Operation:
    way: Way = "emulated" if trial.instead else "refused"
    return Operation(trial.name, way, None, None, trial.instead or why)
