"""Ends the FUSE connections below a folder when a test takes too long.

A process that waits for a hung mount cannot be interrupted, not even by the test's own timeout. So a second process
waits beside the tests: it is told of each one's start, and when too long nothing came, aborts the connections. The
test then gets ECONNABORTED, and fails.
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
        self._process = subprocess.Popen([sys.executable, __file__, str(folder)], stdin=subprocess.PIPE)

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
                return
            test = told.splitlines()[-1]
        else:
            abort_below(folder)
            sys.stderr.write(f"rescue: {test.decode()} took {SECONDS:.0f} s, its mounts were aborted\n")
            test = b""


def abort_below(folder: str) -> None:
    """Abort the connection of each FUSE mount below `folder`, without touching the mounts themselves."""
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        device, path = fields.split()[2], fields.split()[4]
        if not rest.startswith("fuse") or not path.startswith(f"{folder}/"):
            continue
        control = Path(f"/sys/fs/fuse/connections/{device.partition(':')[2]}/abort")
        if control.exists():
            control.write_text("1")
        elif os.geteuid() == 0:
            subprocess.run(["umount", "-f", "-l", path], check=False)


if __name__ == "__main__":
    main(sys.argv[1])
