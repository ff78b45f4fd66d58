"""Work on small files and on their directory."""

from __future__ import annotations

import os

from benchmark.work import SMALL, Piece, quietly

CONTENT = os.urandom(SMALL)


class SmallFiles(Piece):
    """Work on `sizes.files` files of 4 KiB in one directory, which is named by a descriptor."""

    group = "small"

    def prepare(self) -> None:
        """Make the files where an earlier piece has not."""
        self.open_folder()
        there = {os.fsencode(name) for name in os.listdir(self.folder)}
        self.make([name for name in self.names if name not in there])

    def open_folder(self) -> None:
        """Make the directory if need be, and think of the names."""
        self.names = [b"file-%06d" % number for number in range(self.sizes.files)]
        self.buffer = bytearray(SMALL)
        self.folder.mkdir(exist_ok=True)
        self.directory = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)

    def make(self, names: list[bytes]) -> None:
        """Create, write and close each."""
        directory = self.directory
        for name in names:
            descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=directory)
            os.write(descriptor, CONTENT)
            os.close(descriptor)

    def stat_all(self) -> int:
        """stat(2) of each."""
        directory = self.directory
        for name in self.names:
            os.stat(name, dir_fd=directory)
        return len(self.names)

    def read_all(self) -> int:
        """Open, read and close each."""
        directory, into = self.directory, [self.buffer]
        for name in self.names:
            descriptor = os.open(name, os.O_RDONLY, dir_fd=directory)
            read = os.readv(descriptor, into)
            os.close(descriptor)
            if read != SMALL:
                raise OSError(f"read {read} bytes of {SMALL}")
        return len(self.names)


class Create(SmallFiles):
    """Create, write, close."""

    name, title = "create", "create 4 KiB files"

    def prepare(self) -> None:
        """Start with an empty directory."""
        self.clean(self.place)
        self.open_folder()

    def run(self) -> int:
        """Make all of them."""
        self.make(self.names)
        return len(self.names)


class StatCold(SmallFiles):
    """stat(2) of each, of which the kernel knows nothing."""

    name, title, cold = "stat-cold", "stat, cold", True

    def run(self) -> int:
        """stat(2) of each."""
        return self.stat_all()


class StatWarm(SmallFiles):
    """stat(2) of each, which was seen a moment ago."""

    name, title = "stat-warm", "stat, warm"

    def prepare(self) -> None:
        """Look at each once."""
        super().prepare()
        self.stat_all()

    def run(self) -> int:
        """stat(2) of each."""
        return self.stat_all()


class ReadCold(SmallFiles):
    """Open, read and close each, of which the kernel knows nothing."""

    name, title, cold = "read-cold", "read 4 KiB files, cold", True

    def run(self) -> int:
        """Read each."""
        return self.read_all()


class ReadWarm(SmallFiles):
    """Open, read and close each, which was read a moment ago."""

    name, title = "read-warm", "read 4 KiB files, warm"

    def prepare(self) -> None:
        """Read each once."""
        super().prepare()
        self.read_all()

    def run(self) -> int:
        """Read each."""
        return self.read_all()


class Rename(SmallFiles):
    """Give each another name in the same directory."""

    name, title = "rename", "rename"

    def prepare(self) -> None:
        """Think of the new names."""
        super().prepare()
        self.others = [b"other-" + name for name in self.names]

    def run(self) -> int:
        """rename(2) of each."""
        directory = self.directory
        for name, other in zip(self.names, self.others, strict=True):
            os.rename(name, other, src_dir_fd=directory, dst_dir_fd=directory)
        return len(self.names)


class Unlink(SmallFiles):
    """Remove each."""

    name, title = "unlink", "unlink"

    def prepare(self) -> None:
        """Take the files as an earlier piece has left them, under whatever name."""
        self.open_folder()
        there = [os.fsencode(name) for name in sorted(os.listdir(self.folder))]
        if there:
            self.names = there
        else:
            self.make(self.names)

    def run(self) -> int:
        """unlink(2) of each."""
        directory = self.directory
        for name in self.names:
            os.unlink(name, dir_fd=directory)
        return len(self.names)


class Listing(Piece):
    """`ls -l` of a large directory, of which the kernel knows nothing."""

    name, title, group, cold = "ls-cold", "ls -l, cold (entries)", "listing", True

    def prepare(self) -> None:
        """Make the directory where a place has not been given one before it was mounted."""
        if not self.folder.exists():
            self.fill()

    def fill(self) -> None:
        """Make the empty files."""
        self.folder.mkdir()
        for number in range(self.sizes.entries):
            os.close(os.open(self.folder / f"entry-{number:06}", os.O_CREAT | os.O_WRONLY, 0o644))

    def warm(self) -> None:
        """Load ls."""
        quietly("ls", "-l", "/dev")

    def run(self) -> int:
        """The real ls."""
        quietly("ls", "-l", str(self.folder))
        return self.sizes.entries
