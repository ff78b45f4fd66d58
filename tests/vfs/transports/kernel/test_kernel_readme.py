"""The filesystem of the transport's README is mounted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vfs
from vfs.testing.place import soon

README = Path(vfs.__file__).parent / "transports" / "kernel" / "README.md"
(PROGRAM,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.mount
@pytest.mark.skipif(sys.platform != "linux", reason="it speaks to Linux")
def test_the_example(tmp_path: Path) -> None:
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(vfs.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(mountpoint)], env=environment) as program:
        try:
            assert soon(lambda: os.path.ismount(mountpoint))
            printed = subprocess.run(["ls", "-l", mountpoint], check=True, capture_output=True, text=True).stdout
            assert "-r--r--r-- 1 root root 19" in printed
            assert subprocess.run(["cat", mountpoint / "hello"], check=True, capture_output=True).stdout == (
                b"Hello from Python.\n"
            )
            assert not (mountpoint / "other").exists()
            umount = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
            subprocess.run([*umount, mountpoint], check=True)
            assert program.wait(10) == 0
        finally:
            program.kill()


def test_each_module_that_it_names_is_there() -> None:
    names = set(re.findall(r"`(\w+\.py)`", README.read_text(encoding="utf-8")))
    assert len(names) > 8
    assert [name for name in names if not (README.parent / name).exists()] == []
