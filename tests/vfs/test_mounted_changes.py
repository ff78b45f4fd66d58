"""What a program changes through a storage object is seen in the mount of it at once, though the kernel believes names
and attributes for a minute: the mount takes back what the kernel was told (`Storage.subscribe`).
"""

from __future__ import annotations

import pytest
from inprocess import STORAGES, WAYS, Script
from places import TRANSPORTS

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif("kernel" not in TRANSPORTS, reason="libfuse 2 cannot take back what the kernel was told"),
    pytest.mark.parametrize("script", [way for way in WAYS if "kernel" in way], ids=", over ".join, indirect=True),
]
ADAPTED = STORAGES | {"objects": f"adapt({STORAGES['objects']})"}
BELIEVED = "entry_timeout=60, attr_timeout=60"
each = pytest.mark.parametrize("storage", ADAPTED.values(), ids=list(ADAPTED))
in_place = pytest.mark.parametrize("storage", [STORAGES["memory"], STORAGES["files"]], ids=["memory", "files"])
IMPORTS = "from storage.remote.django import adapt\n"


@pytest.fixture
def over_kernel(script: Script) -> Script:
    """A program over the one transport that can do that."""
    return lambda code, **more: script(IMPORTS + code, **more)


@each
def test_a_name_comes_and_goes(over_kernel: Script, storage: str) -> None:
    over_kernel(f"""
storage = {storage}
with mounted(storage, {BELIEVED}) as path:
    for number in range(3):
        assert sh(f"test -e {{path}}/file || echo absent") == "absent\\n"
        assert not (path / "file").exists()
        storage.save("file", ContentFile(b"saved %d" % number))
        assert sh(f"cat {{path}}/file") == f"saved {{number}}"
        assert (path / "file").stat().st_size == 7
        assert os.listdir(path) == ["file"]
        storage.delete("file")
    assert not (path / "file").exists()
""")


@each
def test_a_content_changes(over_kernel: Script, storage: str) -> None:
    over_kernel(f"""
storage = {storage}
storage.save("file", ContentFile(b"first"))
with mounted(storage, {BELIEVED}) as path:
    for content in (b"other", b"a longer content", b"", b"x" * 100_000, b"short"):
        assert sh(f"cat {{path}}/file; stat {{path}}/file")
        storage.replace("file", ContentFile(content))
        assert sh(f"cat {{path}}/file").encode() == content
        assert (path / "file").read_bytes() == content
        assert int(sh(f"stat -c %s {{path}}/file")) == len(content)
""")


@each
def test_a_directory_comes_with_what_is_in_it(over_kernel: Script, storage: str) -> None:
    over_kernel(f"""
storage = {storage}
with mounted(storage, {BELIEVED}) as path:
    assert not (path / "a" / "b").exists()
    storage.save("a/b/file", ContentFile(b"deep"))
    assert sh(f"cat {{path}}/a/b/file") == "deep"
    assert sh(f"ls {{path}}/a") == "b\\n"
    storage.save("a/b/other", ContentFile(b"too"))
    assert sh(f"ls {{path}}/a/b") == "file\\nother\\n"
    storage.delete("a/b/file")
    assert sh(f"ls {{path}}/a/b") == "other\\n"
""")


@in_place
def test_names_change(over_kernel: Script, storage: str) -> None:
    over_kernel(f"""
storage = {storage}
storage.save("tree/below/file", ContentFile(b"content"))
storage.save("target", ContentFile(b"to be replaced"))
with mounted(storage, {BELIEVED}) as path:
    sh(f"ls -lR {{path}}; cat {{path}}/tree/below/file {{path}}/target")
    storage.rename("tree", "moved")
    assert sh(f"cat {{path}}/moved/below/file") == "content"
    assert sh(f"ls {{path}}") == "moved\\ntarget\\n"
    assert not (path / "tree").exists()
    storage.rename("moved/below/file", "target")
    assert sh(f"cat {{path}}/target") == "content"
    assert (path / "target").stat().st_size == 7
    assert sh(f"ls {{path}}/moved/below") == ""
    storage.link("target", "second")
    assert sh(f"stat -c %h {{path}}/second; stat -c %h {{path}}/target") == "2\\n2\\n"
    storage.symlink("target", "link")
    assert sh(f"cat {{path}}/link; readlink {{path}}/link") == "contenttarget\\n"
    storage.unlink("link")
    storage.symlink("second", "link")
    assert sh(f"readlink {{path}}/link") == "second\\n"
    storage.mkdir("new")
    storage.rmdir("moved/below")
    assert sh(f"ls {{path}}").split() == ["link", "moved", "new", "second", "target"]
    assert sh(f"ls {{path}}/moved") == ""
""")


@in_place
def test_attributes_change(over_kernel: Script, storage: str) -> None:
    over_kernel(f"""
storage = {storage}
storage.save("file", ContentFile(b"content"))
with mounted(storage, {BELIEVED}) as path:
    for mode in (0o600, 0o644, 0o751):
        os.stat(path / "file")
        storage.set_attributes("file", mode=mode, mtime_ns=10**18 + mode)
        found = os.stat(path / "file")
        assert (found.st_mode & 0o7777, found.st_mtime_ns) == (mode, 10**18 + mode)
        assert sh(f"stat -c %a {{path}}/file") == f"{{mode:o}}\\n"
""")


@in_place
def test_an_open_file_grows_and_shrinks(over_kernel: Script, storage: str) -> None:
    over_kernel(f"""
storage = {storage}
storage.save("file", ContentFile(b"begin"))
with mounted(storage, {BELIEVED}) as path, open(path / "file", "r+b", buffering=0) as mine:
    reads = "exec 3<$0/file; cat <&3; read x; cat <&3; read x; stat -L -c %s /dev/fd/3"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    follower = subprocess.Popen(["sh", "-c", reads, path], **pipes)
    assert os.read(follower.stdout.fileno(), 5) == b"begin"
    assert (mine.read(), os.fstat(mine.fileno()).st_size) == (b"begin", 5)
    with storage.open("file", "r+b") as writer:
        for number in range(3):
            size = 5 + 50_000 * (number + 1)
            writer.seek(0, 2)
            writer.write(b"%d" % number * 50_000)
            writer.flush()
            assert os.fstat(mine.fileno()).st_size == size
            assert (path / "file").stat().st_size == size
            assert mine.read() == b"%d" % number * 50_000
        writer.seek(0)
        writer.write(b"BEGIN")
        writer.flush()
        assert os.pread(mine.fileno(), 5, 0) == b"BEGIN"
    follower.stdin.write("\\n")
    follower.stdin.flush()
    seen = b""
    while len(seen) < 150_000:
        seen += os.read(follower.stdout.fileno(), 150_000)
    assert seen == b"0" * 50_000 + b"1" * 50_000 + b"2" * 50_000
    with storage.open("file", "r+b") as writer:
        writer.truncate(3)
        writer.flush()
    assert (os.fstat(mine.fileno()).st_size, os.pread(mine.fileno(), 10, 0)) == (3, b"BEG")
    assert follower.communicate("\\n", timeout=20)[0] == "3\\n"
""")


@in_place
def test_both_sides_write_by_turns(over_kernel: Script, storage: str) -> None:
    over_kernel(f"""
storage = {storage}
with mounted(storage, {BELIEVED}) as path:
    sh(f"echo -n mount > {{path}}/file")
    with open(path / "file", "ab", buffering=0) as mine:
        for number in range(5):
            with storage.open("file", "ab") as theirs:
                theirs.write(b" storage")
            mine.write(b" mount")
    expected = b"mount" + b" storage mount" * 5
    assert (path / "file").read_bytes() == storage.open("file").read() == expected
    assert sh(f"cat {{path}}/file").encode() == expected
""")


@each
@pytest.mark.parametrize("options", ["timeout=30", "timeout=0, write_back=60"])
def test_what_came_from_the_kernel_it_is_not_told_again(over_kernel: Script, storage: str, options: str) -> None:
    """It could not take that in: it holds the directory until it is answered."""
    over_kernel(f"""
from vfs.transports.kernel.notifications import Notifier
told = []
Notifier._messages = lambda self, change: told.append(change) or []
storage = {storage}
running = mount(storage, here / "tmp", {BELIEVED}, {options})
sh(f"cd {{running.mountpoint}}; echo one > a; echo two > b; mv a b; mkdir d; mv b d/c; chmod 600 d/c; mv d e")
sh(f"cd {{running.mountpoint}}; rm e/c; rmdir e; mkdir d; echo 1 > d/a")
assert not running.filesystem.contents.uploads.flush(None, 20)["failed"]
sh(f"cd {{running.mountpoint}}; mv d e; echo 2 > e/b")
assert running.drain() == []
assert told == []
storage.save("file", ContentFile(b"saved"))
assert told
running.unmount()
assert storage.open("e/b").read() == b"2\\n"
""")
