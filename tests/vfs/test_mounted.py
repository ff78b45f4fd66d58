"""`vfs.mounted()` and `vfs.mount()`: one storage object, seen by its program and as a directory at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from inprocess import STORAGES, Script

from vfs.mounts.mountpoint import mount_table

pytestmark = pytest.mark.mount
_EACH_STORAGE = pytest.mark.parametrize("storage", STORAGES.values(), ids=list(STORAGES))


@_EACH_STORAGE
def test_both_sides_see_what_the_other_does(script: Script, storage: str) -> None:
    script(f"""
storage = {storage}
with mounted(storage) as path:
    assert sh(f"ls -A {{path}}") == ""
    storage.save("saved.txt", ContentFile(b"by the program"))
    assert sh(f"cat {{path}}/saved.txt") == "by the program"
    assert (path / "saved.txt").read_bytes() == b"by the program"
    storage.delete("saved.txt")
    storage.save("saved.txt", ContentFile(b"changed, and longer"))
    assert sh(f"cat {{path}}/saved.txt") == "changed, and longer", "the kernel shows what it read before"
    assert (path / "saved.txt").stat().st_size == 19
    sh(f"echo from the shell > {{path}}/shell.txt; mkdir -p {{path}}/a/b; echo deep > {{path}}/a/b/file")
    assert storage.open("shell.txt").read() == b"from the shell\\n"
    assert storage.open("a/b/file").read() == b"deep\\n"
    assert sorted(storage.listdir("")[1]) == ["saved.txt", "shell.txt"]
    sh(f"rm {{path}}/shell.txt; mv {{path}}/saved.txt {{path}}/a/moved.txt")
    assert not storage.exists("shell.txt") and storage.exists("a/moved.txt")
    storage.delete("a/moved.txt")
    assert os.listdir(path / "a") == ["b"]
    (path / "own").write_text("by the program, through the directory")
    assert storage.open("own").read() == b"by the program, through the directory"
assert storage.open("own").read() == b"by the program, through the directory"
""")


def test_changed_content_of_the_same_size_is_seen(script: Script) -> None:
    script("""
storage = FileSystemStorage(here / "files", allow_overwrite=True)
with mounted(storage) as path:
    for number in range(10):
        storage.save("file", ContentFile(b"%d" % number))
        assert sh(f"cat {path}/file") == str(number)
        with open(here / "files" / "file", "r+b") as file:
            file.write(b"x")
        assert sh(f"cat {path}/file") == "x"
""")


def test_an_exception_in_the_block_unmounts_too(script: Script) -> None:
    printed = script(
        """
with mounted(InMemoryStorage()) as path:
    (path / "file").write_text("x")
    raise ZeroDivisionError("of the program")
""",
        succeeds=False,
    )
    assert "ZeroDivisionError: of the program" in printed


def test_what_could_not_be_stored_is_an_error_of_the_block(script: Script) -> None:
    printed = script(
        """
(here / "faults").mkdir()
storage = ObjectStorage(str(here / "objects.sqlite"), str(here / "faults"))
with mounted(storage) as path:
    (here / "faults" / "save").write_text("ENOSPC")
    try:
        (path / "file").write_text("x")
    except OSError as error:
        assert error.errno == errno.ENOSPC
""",
        succeeds=False,
    )
    assert "MountError: 1 file(s) could not be stored, the first is 'file'" in printed


def test_a_mountpoint_of_ones_own_stays(script: Script, tmp_path: Path) -> None:
    script("""
(here / "mnt").mkdir()
for _ in range(3):
    with mounted(InMemoryStorage(), here / "mnt") as path:
        assert path == here / "mnt"
        (path / "file").touch()
assert os.listdir(here / "mnt") == []
""")
    assert (tmp_path / "mnt").is_dir()


def test_mount_and_unmount(script: Script) -> None:
    script("""
(here / "mnt").mkdir()
made = mount("memory", here / "mnt")
(made.mountpoint / "file").write_text("x")
with open(made.mountpoint / "file") as file:
    try:
        made.unmount(wait=0.1)
    except vfs.MountError as error:
        assert "busy" in str(error)
    else:
        raise AssertionError("it was not busy")
    assert file.read() == "x"
made.unmount()
made.unmount()
assert os.listdir(here / "mnt") == []
""")


LEFT = """
threads = set(threading.enumerate())

def descriptors():
    found = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sorted(os.readlink(it) for it in found if os.path.lexists(it) and "memfd" not in os.readlink(it))

before = descriptors()  # a storage in memory keeps memfds for its next files

def assert_nothing_is_left():
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive(), thread
    assert descriptors() == before
"""


@_EACH_STORAGE
def test_no_thread_and_no_descriptor_is_left(script: Script, storage: str) -> None:
    script(f"""
storage = {storage}
{LEFT}
with mounted(storage, cache_dir=str(here / "cache"), write_back=60) as path:
    sh(f"cd {{path}}; mkdir d; for name in a b c; do echo $name > d/$name; done; cat d/*; mv d e; rm -r e")
assert_nothing_is_left()
""")


def test_one_that_cannot_be_made_leaves_nothing_and_can_be_tried_again(script: Script) -> None:
    script(f"""
from vfs.mounts.mounting import Mount, MountOptions
storage = ObjectStorage(str(here / "objects.sqlite"))
storage.save("file", ContentFile(b"content"))
{LEFT}
(here / "mnt").mkdir()
running = Mount(storage, here / "mnt", MountOptions(cache_dir=str(here / "cache")), sys.argv[2], shared=True)
(here / "mnt").rmdir()
try:
    running.start()
except (OSError, vfs.MountError):
    assert_nothing_is_left()
else:
    raise AssertionError("it is mounted where there is no directory")
with mounted(storage, cache_dir=str(here / "cache")) as path:
    assert sh(f"cat {{path}}/file") == "content"
""")


def test_several_mounts_of_one_process(script: Script) -> None:
    script("""
one, other = InMemoryStorage(), FileSystemStorage(here / "files")
with mounted(one) as first, mounted(other) as second, mounted(one) as third:
    (first / "file").write_text("content")
    sh(f"cp {first}/file {second}/copy && cp {second}/copy {third}/again")
    assert one.open("again").read() == other.open("copy").read() == b"content"
    assert sorted(os.listdir(third)) == ["again", "file"]
""")


def test_options_hold(script: Script) -> None:
    script("""
storage = InMemoryStorage()
storage.save("file", ContentFile(b"x"))
with mounted(storage, ro=True, uid=1234, umask=0o077) as path:
    found = os.stat(path / "file")
    assert (found.st_uid, found.st_mode & 0o077) == (1234, 0)
    try:
        (path / "new").touch()
    except OSError as error:
        assert error.errno == errno.EROFS
    else:
        raise AssertionError("it was written")
try:
    mount(storage, here / "files", colour="red")
except TypeError:
    pass
""")


# -- what hangs, and what is done about it


@pytest.mark.parametrize("end", ["", "sys.exit()", "raise KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_a_process_may_exit_with_its_mount_alive(script: Script, tmp_path: Path, end: str) -> None:
    (tmp_path / "mnt").mkdir()
    try:
        script(
            f"""
made = mount(InMemoryStorage(), here / "mnt")
(here / "mnt" / "file").write_text("x")
{end}
""",
            succeeds=end in ("", "sys.exit()"),
        )
    except AssertionError:
        if "SIGTERM" not in end:
            raise
        _clear(tmp_path / "mnt")  # nothing of Python runs after that signal


def _clear(mountpoint: Path) -> None:
    if any(mount.path == str(mountpoint) for mount in mount_table()):
        command = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount", "-uz"]
        subprocess.run([*command, mountpoint], check=True)


def test_a_process_may_exit_with_a_file_open_on_its_mount(script: Script, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    script("""
made = mount(InMemoryStorage(), here / "mnt")
descriptor = os.open(here / "mnt" / "file", os.O_CREAT | os.O_WRONLY)
os.write(descriptor, b"x")
""")


def test_a_forked_child_leaves_the_mount_to_its_parent(script: Script) -> None:
    script("""
with mounted(InMemoryStorage()) as path:
    (path / "file").write_text("x")
    child = os.fork()
    if child == 0:
        os._exit(0 if os.listdir(path) == ["file"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (path / "file").read_text() == "x"
    sleeper = os.fork()
    if sleeper == 0:
        time.sleep(60)
        os._exit(0)
os.kill(sleeper, signal.SIGKILL)  # it did not keep the mount
os.waitpid(sleeper, 0)
""")


def test_a_program_inherits_nothing_of_the_mount(script: Script) -> None:
    script("""
with mounted(InMemoryStorage()) as path:
    listing = subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True).stdout
    assert "/dev/fuse" not in listing, listing
""")


def test_threads_use_the_mount_at_once(script: Script) -> None:
    script("""
storage = InMemoryStorage()
with mounted(storage) as path:
    def work(number):
        for turn in range(20):
            (path / f"{number}").write_text(f"{turn}" * 1000)
            assert storage.open(f"{number}").read() == f"{turn}".encode() * 1000
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(os.listdir(path)) == 6
""")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_program_that_works_in_the_mount(script: Script) -> None:
    """Started with a current directory elsewhere: see the notes on vfork in vfs.mounts.mounting."""
    script("""
storage = InMemoryStorage()
with mounted(storage) as path:
    sh(f"cd {path} && git init -q . && echo x > file && git add . && git -c user.name=a -c user.email=a@b commit -qm x")
    assert sh(f"cd {path} && git status --porcelain") == ""
    assert storage.exists(".git/HEAD")
""")
