"""Ends the FUSE connections below a folder when a test takes too long.

A process that waits for a hung mount cannot be interrupted, not even by the test's own timeout. So a second process
waits beside the tests: it is told of each one's start, and when too long nothing came, aborts the connections. The
test then gets ECONNABORTED, and fails. It outlives tests that are killed, and leaves nothing of theirs mounted.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType

SECONDS = 90.0
"""How long a test may take; the timeout of pytest is longer."""


class Rescue:
    """The process that waits beside the tests."""

    def __init__(self, folder: Path) -> None:
        """For the mounts below `folder`."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, start_new_session=True
        )

    def wait_for(self, test: str) -> None:
        """A test starts, or ends for "": the clock starts anew, or stops."""
        assert self._process.stdin is not None
        self._process.stdin.write(test.encode(errors="replace").replace(b"\n", b" ") + b"\n")
        self._process.stdin.flush()

    def __enter__(self) -> Rescue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main(folder: str) -> None:
    test = b""
    while True:
        ready, _, _ = select.select([0], [], [], SECONDS if test.strip() else None)
        if ready:
            told = os.read(0, 65536)
            if not told:
                abort_below(folder)
                detach_below(folder)
                return
            test = told.splitlines()[-1]
        else:
            abort_below(folder)
            sys.stderr.write(f"rescue: {test.decode()} took {SECONDS:.0f} s, its mounts were aborted\n")
            test = b""


def abort_below(folder: str) -> None:
    """Abort the connection of each FUSE mount below `folder`, without touching the mounts themselves."""
    for device, path in mounts_below(folder):
        control = Path(f"/sys/fs/fuse/connections/{device.partition(':')[2]}/abort")
        if control.exists():
            control.write_text("1")
        else:
            detach(path)


def detach_below(folder: str) -> None:
    """Take each FUSE mount below `folder` from its place, who uses it or not."""
    for _, path in mounts_below(folder):
        detach(path)


def detach(path: str) -> None:
    command = ("umount", "-f", "-l") if os.geteuid() == 0 else ("fusermount3", "-u", "-z")
    subprocess.run([*command, path], check=False, stderr=subprocess.DEVNULL)  # it may have gone meanwhile


def mounts_below(folder: str) -> list[tuple[str, str]]:
    """The device number and the path of each FUSE mount below `folder`."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        device, path = fields.split()[2], fields.split()[4]
        if rest.startswith("fuse") and path.startswith(f"{folder}/"):
            found.append((device, path))
    return found


if __name__ == "__main__":
    main(sys.argv[1])
