"""The tests of mounts once more, by an ordinary user: the daemon is his, mounted through fusermount3, and so are the
programs that use it.

Where the tests run as root, a pytest of `nobody` runs some of them, in a mount namespace of its own in which nobody may
go where he otherwise may not: to /dev/fuse, to this checkout and to this Python. The machine stays as it is.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import HERE

from namespaces import UNMOUNT_OTHERS
from vfs.testing.place import IS_ROOT

pytestmark = [
    pytest.mark.mount,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.skipif(sys.platform != "linux" or not IS_ROOT, reason="only root can become another user on Linux"),
    pytest.mark.skipif(not shutil.which("fusermount3"), reason="fusermount3 is not installed"),
]
CHECKOUT = HERE.parents[1]
SECONDS = 400
GROUPS = {
    "names and attributes": [
        "posix/test_posix_opening.py",
        "posix/test_posix_names.py",
        "posix/test_posix_links.py",
        "posix/test_posix_attributes.py",
        "test_xattrs.py",
    ],
    "content": [
        "posix/test_posix_content.py",
        "posix/test_posix_mappings.py",
        "posix/test_posix_ranges.py",
        "posix/test_posix_locks.py",
    ],
    "directories": ["posix/test_posix_directories.py", "posix/test_posix_unnamed.py"],
    "programs": ["test_programs.py", "test_projects.py", "test_random_operations.py"],
    "the life of a mount": ["mounts/test_mounting.py", "mounts/test_daemon.py", "test_mounted_changes.py"],
    "crashes": ["test_crash.py"],
}
WANTED = (
    "not (hangs or cannot_be_stored or drains or memory_comes_back) and (memory-kernel or files-kernel"
    " or (objects-kernel and (posix_opening or posix_names or posix_attributes or posix_content))"
    " or (kernel and (xattrs or mounting or crash or test_daemon)) or (this and changes and not fusepy))"
)
"""The kernel's transport, over each way to keep content: nothing is passed through for an ordinary user.

Objects are passed through for nobody, so of them there is only what asks for rights. What is waited for at the end of a
mount has to do with the storage, and with nobody's rights.
"""
OF_PROGRAMS = "files-kernel"
"""One way is enough for programs: what differs between them is in the calls, which the other groups make one by one."""


def closed(path: Path) -> Path | None:
    """The outermost directory above `path` that others may not go through."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def preparations(stage: Path) -> Iterator[str]:
    """Shell commands for a mount namespace in which the device, the checkout and Python are open to all."""
    yield UNMOUNT_OTHERS
    yield f"mount -t tmpfs -o mode=755 tmpfs {stage}"
    yield f"mknod -m 666 {stage}/fuse c 10 229 && chmod 666 {stage}/fuse && mount --bind {stage}/fuse /dev/fuse"
    needed = {path.resolve() for path in (CHECKOUT, Path(sys.prefix), Path(sys.base_prefix))}
    shut = {path: above for path in sorted(needed) if (above := closed(path)) is not None}
    for number, path in enumerate(shut):
        yield f"mkdir {stage}/{number} && mount --bind {shlex.quote(str(path))} {stage}/{number}"
    for above in dict.fromkeys(shut.values()):
        yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(above))}"
    for number, path in enumerate(shut):
        yield f"mkdir -p {shlex.quote(str(path))} && mount --bind {stage}/{number} {shlex.quote(str(path))}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may go through: each pytest that starts closes those of all of them."""
    with tempfile.TemporaryDirectory(prefix="vfs-nobody-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("group", GROUPS)
def test_as_nobody(folder: Path, group: str) -> None:
    nobody = pwd.getpwnam("nobody")
    for name in ("stage", "home", "tmp"):
        (folder / name).mkdir(parents=True)
        os.chown(folder / name, nobody.pw_uid, nobody.pw_gid)
    files = [str(HERE / name) for name in GROUPS[group]]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/tmp/pytest"]
    become = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    script = " && ".join([*preparations(folder / "stage"), f"cd {shlex.quote(str(CHECKOUT))}", 'exec "$@"'])
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--propagation=slave",  # what others unmount meanwhile must not live on here
            "sh",
            "-c",
            script,
            "sh",
            *become,
            *tests,
            "-k",
            OF_PROGRAMS if group == "programs" else WANTED,
            *files,
        ],
        env={"PATH": os.environ["PATH"], "HOME": f"{folder}/home", "TMPDIR": f"{folder}/tmp", "LC_ALL": "C.UTF-8"}
        | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:]
    assert " passed" in done.stdout.splitlines()[-1]
