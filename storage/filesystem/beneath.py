"""Access to what lies below one directory, in such a way that nothing else can be reached.

The theory. A path is resolved component by component, and between a check ("no component is a symbolic link to the
outside") and the use somebody may swap a component. So nothing here checks a path and then uses it: an operation is
done relative to a descriptor of the entry's parent directory, on the last component alone, by calls that do not follow
it (`unlinkat`, `renameat`, `openat` with O_NOFOLLOW ...); and that descriptor is opened by the kernel under the rule
that the resolution stays below (openat2 with RESOLVE_BENEATH), or, where there is no openat2, by opening one component
after the other with O_NOFOLLOW. The directory itself, the *location*, is trusted, as are the directories above it.

Two ways to resolve:

* strictly (the default): no symbolic link is followed at all. A link in the middle is "not a directory".
* with `follow`: links that stay inside are followed. openat2 refuses absolute links even if they point inside; these
  are resolved by hand (realpath), checked, and the result is opened strictly: if it changed meanwhile, it is resolved
  again. One that leads outside raises SuspiciousFileOperation, unless `outside` allows it.

No descriptor of the location is kept between two calls. It would have to be compared with what has the location's
path now (created late, replaced, switched by a link), and that costs as much as opening it. Mostly none is needed: the
path of an entry directly in the location has no component that is not trusted, and openat2 opens any other by its
absolute path under the rule that no component at all is a link (RESOLVE_NO_SYMLINKS), unless the location itself is
reached through one.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType
from typing import Self

from storage.exceptions import DirectoryNotEmptyError, NameTooLongError, SuspiciousFileOperation, os_error
from storage.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2, openat2_works

_O_PATH = getattr(os, "O_PATH", 0)

# O_PATH needs no permission to read and has no side effect; elsewhere a descriptor must be open for something.
ENTRY = _O_PATH or os.O_RDONLY | os.O_NONBLOCK
"""Flags to open an entry of any type for its attributes alone."""
DIRECTORY = ENTRY | os.O_DIRECTORY
"""Flags to open a directory for use as a base of other calls."""

_PATH_MAX = 4096
_ATTEMPTS = 8
_LINK_MET = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})  # what O_NOFOLLOW answers, by flags and system


class Place:
    """Where an entry is: `name` in the directory `fd`, as the functions of `os` take it (`dir_fd`).

    `fd` is None where `name` is an absolute path. As a context manager it closes `fd` at the end, and gives the
    system's errors the classes of `storage.exceptions` and the entry's full path.
    """

    __slots__ = ("fd", "name", "path")

    def __init__(self, fd: int | None, name: str, path: str) -> None:
        """Own `fd` from now on; `path` is for messages."""
        self.fd = fd
        self.name = name
        self.path = path

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the directory."""
        if self.fd is not None:
            os.close(self.fd)
        if isinstance(error, OSError):
            raise_specific(error, self.path)

    def stat(self) -> os.stat_result:
        """The attributes of the entry, of a link itself."""
        return os.stat(self.name, dir_fd=self.fd, follow_symlinks=False)

    def stat_or_none(self) -> os.stat_result | None:
        """`stat()`, or None where there is nothing."""
        try:
            return self.stat()
        except FileNotFoundError:
            return None


class Beside(Place):
    """A further entry of a directory that belongs to another place, which outlives this one."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the directory open."""
        if isinstance(error, OSError):
            raise_specific(error, self.path)


class Beneath:
    """The entries below the directory `location` (an absolute path, which need not exist yet).

    Names are plain ('/'-separated, without "." and ".."); "" is the location itself.
    """

    __slots__ = ("_linked", "_prefix", "location", "outside")

    def __init__(self, location: str, *, outside: bool = False) -> None:
        """With `outside`, links may lead out of the location where they are followed."""
        self.location = location
        self.outside = outside
        self._prefix = os.path.join(location, "")
        self._linked = False
        """Whether the way to the location goes through a link, as far as is known."""

    def path(self, name: str) -> str:
        """The absolute path of an entry, for messages."""
        return self._prefix + name if name else self.location

    def place(self, name: str, *, follow: bool = False) -> Place:
        """Open the parent of an entry; `follow` allows links on the way to it, never in the last component.

        FileNotFoundError, NotADirectoryError when there is no such parent.
        """
        directory, _, last = name.rpartition("/")
        if not directory:
            return Place(None, self._prefix + (name or "."), self.path(name))
        return Place(self.open(directory, DIRECTORY, follow=follow), last, self.path(name))

    def place_after(self, other: Place, other_name: str, name: str) -> Place:
        """`place(name)`, of which `place(other_name)` is `other`: a directory that both are in is opened once."""
        directory, _, last = name.rpartition("/")
        if directory and other_name.rpartition("/")[0] == directory:
            return Beside(other.fd, last, self.path(name))
        return self.place(name)

    def open(self, name: str, flags: int, mode: int = 0, *, follow: bool = False) -> int:
        """Open an entry with the `flags` and `mode` of os.open(); the descriptor. A link is followed with `follow`."""
        try:
            # With O_PATH alone O_NOFOLLOW is no error: it would open the link itself.
            if follow and flags & _O_PATH and not flags & os.O_DIRECTORY:
                return self._open_following(name, flags, mode)
            try:
                return self._open_strictly(name, flags, mode)
            except OSError as error:
                if not follow or error.errno not in _LINK_MET:
                    raise
            return self._open_following(name, flags, mode)
        except OSError as error:
            raise_specific(error, self.path(name))
            raise

    def stat(self, name: str, *, follow: bool = False) -> os.stat_result:
        """The attributes of an entry, of a link itself unless `follow`."""
        if "/" not in name and not follow:
            path = self._prefix + (name or ".")
            try:
                return os.stat(path, follow_symlinks=False)
            except OSError as error:
                raise_specific(error, self.path(name))
                raise
        with self.place(name, follow=follow) as place:
            st = place.stat()
        if not follow or not stat.S_ISLNK(st.st_mode):
            return st
        fd = self.open(name, ENTRY, follow=True)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def resolved(self, name: str) -> tuple[Beneath, str]:
        """An entry's place with all links followed: what to go by from now on, and strictly.

        SuspiciousFileOperation for one outside, unless `outside`: then below the directory that it is in.
        """
        real = _realpath(self._prefix + name)
        inside = self._inside(real)
        if inside is not None:
            return self, inside
        if not self.outside:
            raise self._leads_outside(name)
        directory, last = os.path.split(real)
        return Beneath(directory), last

    def _open_strictly(self, name: str, flags: int, mode: int) -> int:
        """Open without following a link anywhere."""
        if not name:
            return os.open(self.location, flags, mode)
        if "/" not in name:
            return os.open(self._prefix + name, flags | os.O_NOFOLLOW, mode)
        flags |= os.O_NOFOLLOW
        fits = openat2_works() and len(os.fsencode(self._prefix + name)) < _PATH_MAX
        if fits and not self._linked:
            try:
                return openat2(None, self._prefix + name, flags, mode, RESOLVE_NO_SYMLINKS)
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
        return self._open_from_root(name, flags, mode, fits)

    def _open_from_root(self, name: str, flags: int, mode: int, fits: bool) -> int:
        """Open by way of a descriptor of the location; `fits` says that openat2 is there and takes so long a name."""
        root = os.open(self.location, DIRECTORY)
        try:
            if not fits:
                return _walk(root, name, flags, mode)
            try:
                fd = openat2(root, name, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                return _walk(root, name, flags, mode)  # which tells a link on the way from one at the end
            self._linked = True
            return fd
        finally:
            os.close(root)

    def _open_following(self, name: str, flags: int, mode: int) -> int:
        """Open, following the links that stay inside."""
        if name and openat2_works():
            root = os.open(self.location, DIRECTORY)
            try:
                return openat2(root, name, flags, mode, RESOLVE_BENEATH)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EAGAIN, errno.ENAMETOOLONG):
                    raise
            finally:
                os.close(root)
        return self._open_resolved(name, flags, mode)

    def _open_resolved(self, name: str, flags: int, mode: int) -> int:
        """Resolve the links by hand, and open the result strictly; again if a link has come into it meanwhile."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._open_realpath(name, flags, mode)
            except OSError as error:
                if error.errno not in _LINK_MET:
                    raise
        return self._open_realpath(name, flags, mode)

    def _open_realpath(self, name: str, flags: int, mode: int) -> int:
        beneath, real_name = self.resolved(name)
        return beneath._open_strictly(real_name, flags, mode)

    def _leads_outside(self, name: str) -> SuspiciousFileOperation:
        return SuspiciousFileOperation(
            f"A symbolic link in the path of {name!r} leads outside of {self.location!r}. Move what it points to "
            "below the location, or create the storage with allow_outside_symlinks=True."
        )

    def _inside(self, real: str) -> str | None:
        """The name of a resolved path relative to the location; None for one outside."""
        location = os.path.realpath(self.location)
        if real == location:
            return ""
        prefix = os.path.join(location, "")
        return real[len(prefix) :] if real.startswith(prefix) else None


def _realpath(path: str) -> str:
    """os.path.realpath(), which fails where a link turns into something else between two of its steps."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return os.path.realpath(path)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
    return os.path.realpath(path)


def _walk(root: int, name: str, flags: int, mode: int) -> int:
    """What openat2 does, one component after the other; of names of any length."""
    *directories, last = name.split("/")
    fd = root
    try:
        for component in directories:
            try:
                below = os.open(component, DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except OSError as error:
                if error.errno not in _LINK_MET:
                    raise
                raise os_error(errno.ENOTDIR, name) from error
            if fd != root:
                os.close(fd)
            fd = below
        return os.open(last, flags, mode, dir_fd=fd)
    finally:
        if fd != root:
            os.close(fd)


def raise_specific(error: OSError, path: str) -> None:
    """Raise the package's own class for an errno that Python has none for; else give `error` the full path."""
    if error.errno == errno.ENOTEMPTY:
        raise DirectoryNotEmptyError(path) from error
    if error.errno == errno.ENAMETOOLONG:
        raise NameTooLongError(path) from error
    if error.filename is not None:
        error.filename = path
