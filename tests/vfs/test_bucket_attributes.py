"""Mounts of a bucket with `attributes`: modes, owners, times and links outlive the mount, and s3fs sees the same."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import TRANSPORTS, Server

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from services.server import HOST
from vfs.testing.place import IS_ROOT, failing, run, soon

pytestmark = [pytest.mark.mount, pytest.mark.parametrize("transport", TRANSPORTS[:1], indirect=True)]

MOMENT = 1_234_567_890_123_456_789
PART = 5 << 20
OWNER = (1234, 4321) if IS_ROOT else (os.getuid(), os.getgid())


@pytest.fixture
def server(
    s3_bucket: Bucket,
    proxy: HTTPProxy,
    mounts_folder: Path,
    rescue: None,
    transport: str,
    request: pytest.FixtureRequest,
) -> Iterator[Server]:
    """A mount of the bucket, through the proxy."""
    made = Server("bucket", mounts_folder / s3_bucket.name, transport=transport)
    options = {
        **s3_bucket.at(proxy.port).opendal,
        "attributes": True,
        "part_size": PART,
        **getattr(request, "param", {}),
    }
    made.serve_bucket(options)
    yield made.mount()
    made.end()


def remounted(server: Server) -> Path:
    """The mount by a new daemon, which knows nothing but what is in the bucket."""
    server.unmount()
    return server.mount().mountpoint


def shown(path: Path) -> tuple[object, ...]:
    """What is to come back: mode, owner, time of change; and of a link its target instead."""
    found = path.lstat()
    what = os.readlink(path) if stat.S_ISLNK(found.st_mode) else found.st_size
    return oct(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, what


def tree(top: Path) -> dict[str, tuple[object, ...]]:
    """What is shown of all but directories."""
    paths = [path for path in sorted(top.rglob("*")) if path.is_symlink() or not path.is_dir()]
    return {str(path.relative_to(top)): shown(path) for path in paths}


def give_attributes(path: Path) -> None:
    path.chmod(0o4751)
    os.chown(path, *OWNER)
    path.chmod(0o4751)  # which a change of the owner has taken from
    os.utime(path, ns=(1, MOMENT))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder of files and links with attributes of all kinds."""
    top = tmp_path / "sources"
    (top / "below").mkdir(parents=True)
    for number, name in enumerate(["plain", "empty", "below/script", "below/secret"]):
        path = top / name
        path.write_bytes(b"" if name == "empty" else os.urandom(1000 * number + 1))
        path.chmod(0o400 + 0o111 * number)
        os.chown(path, *OWNER)
        os.utime(path, ns=(MOMENT - number, MOMENT - number))
    for target, name in (("plain", "link"), ("../nowhere", "below/dangling")):
        os.symlink(target, top / name)
        os.chown(top / name, *OWNER, follow_symlinks=False)
        os.utime(top / name, ns=(MOMENT, MOMENT), follow_symlinks=False)
    return top


def test_changes_of_a_closed_file_outlive_the_mount(server: Server) -> None:
    for name, content in (("file", b"content"), ("empty", b"")):
        (server.mountpoint / name).write_bytes(content)
        give_attributes(server.mountpoint / name)
    before = tree(server.mountpoint)
    assert before["file"] == (oct(0o104751), *OWNER, MOMENT, 7)
    assert tree(remounted(server)) == before
    assert (server.mountpoint / "file").stat().st_atime_ns == 1
    assert (server.mountpoint / "file").read_bytes() == b"content"


def test_changes_of_an_open_file_go_with_its_one_put(server: Server, proxy: HTTPProxy, sources: Path) -> None:
    path = server.mountpoint / "file"
    before = len(proxy.requests)
    with open(path, "wb") as file:
        file.write(b"content")
        file.flush()
        os.fchmod(file.fileno(), 0o640)
        os.fchown(file.fileno(), *OWNER)
        os.utime(file.fileno(), ns=(MOMENT, MOMENT))
    made = [request for request in proxy.requests[before:] if request.target.endswith("/file")]
    assert [request.method for request in made if request.method != "HEAD"] == ["PUT"]
    before = len(proxy.requests)
    run(["cp", "-p", sources / "plain", server.mountpoint / "copy"], "/")
    made = [request.method for request in proxy.requests[before:] if request.target.endswith("/copy")]
    assert [method for method in made if method != "HEAD"] == ["PUT"]
    top = remounted(server)
    assert shown(top / "file") == (oct(0o100640), *OWNER, MOMENT, 7)
    assert shown(top / "copy") == shown(sources / "plain")


@pytest.mark.parametrize(
    "program",
    [
        "cp -a {sources}/. {mnt}",
        "rsync -a {sources}/ {mnt}",
        "rsync -a --inplace {sources}/ {mnt}",
        "tar -C {sources} --format=posix -cf - . | tar -C {mnt} -xpf -",
    ],
    ids=lambda command: str(command).partition(" {")[0],
)
def test_programs_that_keep_attributes(server: Server, sources: Path, program: str) -> None:
    run(["sh", "-c", program.format(sources=sources, mnt=server.mountpoint)], "/")
    wanted = tree(sources)
    assert tree(server.mountpoint) == wanted
    assert tree(remounted(server)) == wanted
    again = run(["rsync", "-ain", "--omit-dir-times", f"{sources}/", str(server.mountpoint)], "/")
    assert [line for line in again.splitlines() if not line.startswith(".d")] == []


def test_the_time_of_writing_outlives_the_mount_and_a_rename(server: Server) -> None:
    (server.mountpoint / "old").write_bytes(b"content")
    before = shown(server.mountpoint / "old")
    os.rename(server.mountpoint / "old", server.mountpoint / "new")
    assert shown(server.mountpoint / "new") == before
    assert shown(remounted(server) / "new") == before


def test_links_are_links(server: Server, s3_bucket: Bucket) -> None:
    top = server.mountpoint
    (top / "dir").mkdir()
    (top / "dir/file").write_bytes(b"content")
    os.symlink("dir/file", top / "link")
    os.symlink("dir", top / "to the dir")
    with failing(errno.EEXIST):
        os.symlink("other", top / "link")
    os.rename(top / "link", top / "renamed")
    top = remounted(server)
    assert sorted(os.listdir(top)) == ["dir", "renamed", "to the dir"]
    assert (top / "renamed").read_bytes() == (top / "to the dir/file").read_bytes() == b"content"
    assert {entry.name for entry in os.scandir(top) if entry.is_symlink()} == {"renamed", "to the dir"}
    assert s3_bucket.get("renamed") == b"dir/file"
    os.unlink(top / "renamed")
    assert s3_bucket.keys() == ["dir/file", "to the dir"]


def test_what_is_written_again_keeps_mode_and_owner(server: Server) -> None:
    (server.mountpoint / "file").write_bytes(b"content")
    give_attributes(server.mountpoint / "file")
    path = remounted(server) / "file"
    with open(path, "ab") as file:
        file.write(b"more")
    kept = shown(path)[:3]
    assert shown(remounted(server) / "file")[:3] == kept
    assert kept[1:] == OWNER


def test_a_copy_is_its_own(server: Server) -> None:
    """Also where the storage could make the copy by itself, with the attributes of the original."""
    (server.mountpoint / "file").write_bytes(b"content")
    give_attributes(server.mountpoint / "file")
    subprocess.run(["cp", server.mountpoint / "file", server.mountpoint / "copy"], check=True)
    subprocess.run(["cp", "-p", server.mountpoint / "file", server.mountpoint / "same"], check=True)
    top = server.mountpoint
    mine = shown(top / "copy")
    assert mine[1:3] == (os.getuid(), os.getgid())
    assert mine[3] != MOMENT
    assert shown(top / "same")[1:] == shown(top / "file")[1:]
    top = remounted(server)
    assert shown(top / "copy") == mine
    assert shown(top / "same")[1:] == shown(top / "file")[1:]


def test_those_of_an_object_of_several_parts_outlive_the_mount(server: Server) -> None:
    path = server.mountpoint / "file"
    path.write_bytes(bytes(PART + 1))
    give_attributes(path)
    before = tree(server.mountpoint)
    assert before["file"] == (oct(0o104751), *OWNER, MOMENT, PART + 1)
    assert tree(remounted(server)) == before


UP_TO_A_PART = pytest.mark.parametrize("server", [{"attributes_up_to": PART}], indirect=True, ids=["up to a part"])


@UP_TO_A_PART
def test_those_of_a_large_object_are_kept_by_the_mount_until_it_is_stored_again(server: Server) -> None:
    path = server.mountpoint / "file"
    path.write_bytes(bytes(PART + 1))
    path.chmod(0o600)
    path.chmod(0o600)
    assert oct(path.stat().st_mode) == oct(0o100600)
    assert server.logged().count("go with this mount") == 1
    assert "attributes_up_to" in server.logged()
    path = remounted(server) / "file"
    assert oct(path.stat().st_mode) == oct(0o100644)
    path.chmod(0o600)
    with open(path, "ab") as file:
        file.write(b"more")
    assert oct((remounted(server) / "file").stat().st_mode) == oct(0o100600)


@UP_TO_A_PART
def test_a_chmod_shows_after_the_mount_has_kept_another(server: Server, s3_bucket: Bucket) -> None:
    path = server.mountpoint / "file"
    path.write_bytes(bytes(PART + 1))
    path.chmod(0o600)
    s3_bucket.put("file", b"of somebody else")
    assert soon(lambda: path.stat().st_size == 16)
    path.chmod(0o640)
    assert oct(path.stat().st_mode) == oct(0o100640)
    assert oct((remounted(server) / "file").stat().st_mode) == oct(0o100640)


@pytest.mark.skipif(not IS_ROOT, reason="only root gives files away")
def test_a_copy_by_the_storage_does_not_change_hands(server: Server, proxy: HTTPProxy) -> None:
    (server.mountpoint / "file").write_bytes(bytes(PART + 1))
    top = remounted(server)
    run(["cp", "--sparse=never", "file", "copy"], top)
    assert any("x-amz-copy-source" in request.headers for request in proxy.requests)
    with open(top / "given", "wb") as file:
        file.write(bytes(PART + 1))
        os.fchown(file.fileno(), 1234, 4321)
    top = remounted(server)
    run(["cp", "--sparse=never", "given", "mine"], top)
    mine = shown(top / "mine")
    assert mine[1:3] == (0, 0)
    assert shown(remounted(server) / "mine") == mine


def test_they_outlive_kill_9(server: Server, s3_bucket: Bucket, sources: Path) -> None:
    server.unmount()
    server.options = (*server.options, "write_back=60")
    server.mount()
    run(["cp", "-p", sources / "plain", server.mountpoint / "copy"], "/")
    assert s3_bucket.keys() == []
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGKILL)
    server.run("recover", "bucket")
    assert s3_bucket.keys() == ["copy"]
    server.options = server.options[:-1]
    assert shown(server.mount().mountpoint / "copy") == shown(sources / "plain")


def test_directories_without_markers_are_kept_for_the_life_of_the_mount(server: Server) -> None:
    (server.mountpoint / "dir").mkdir(0o700)
    (server.mountpoint / "dir/file").write_bytes(b"content")
    assert oct((server.mountpoint / "dir").stat().st_mode) == oct(0o40700)
    assert oct((remounted(server) / "dir").stat().st_mode) == oct(0o40755)
    (server.mountpoint / "dir").chmod(0o711)
    assert oct((server.mountpoint / "dir").stat().st_mode) == oct(0o40711)


MARKED = pytest.mark.parametrize("server", [{"directories": True}], indirect=True, ids=["markers"])


def made_directories(top: Path) -> dict[str, tuple[object, ...]]:
    """A directory with attributes of all kinds and one below, and what is shown of them; files are in both."""
    (top / "dir").mkdir(0o700)
    (top / "dir/below").mkdir(0o711)
    for path in (top / "dir/below", top / "dir"):
        (path / "file").write_bytes(b"content")
        os.chown(path, *OWNER)
        os.utime(path, ns=(1, MOMENT))
    (top / "dir").chmod(0o2750)
    return directories(top)


def directories(top: Path) -> dict[str, tuple[object, ...]]:
    """What is shown of the directories."""
    return {str(path.relative_to(top)): shown(path)[:4] for path in sorted(top.rglob("*")) if path.is_dir()}


@MARKED
def test_directories_with_markers_outlive_the_mount(server: Server) -> None:
    before = made_directories(server.mountpoint)
    assert before["dir"] == (oct(0o42750), *OWNER, MOMENT)
    assert directories(remounted(server)) == before


@MARKED
def test_directories_with_markers_keep_theirs_when_they_are_renamed(server: Server) -> None:
    before = made_directories(server.mountpoint)
    os.rename(server.mountpoint / "dir", server.mountpoint / "new")
    wanted = {name.replace("dir", "new"): what for name, what in before.items()}
    assert directories(server.mountpoint) == wanted
    assert directories(remounted(server)) == wanted


@MARKED
def test_the_time_of_a_directory_shows_what_is_made_in_it(server: Server) -> None:
    made_directories(server.mountpoint)
    (server.mountpoint / "dir/new").touch()
    assert (server.mountpoint / "dir").stat().st_mtime_ns > MOMENT
    os.utime(server.mountpoint / "dir", ns=(1, MOMENT))
    assert (remounted(server) / "dir").stat().st_mtime_ns == MOMENT


@MARKED
def test_rsync_has_nothing_to_do_for_directories_after_a_remount(server: Server, sources: Path) -> None:
    (sources / "below").chmod(0o2711)
    os.utime(sources / "below", ns=(MOMENT, MOMENT))
    run(["rsync", "-a", f"{sources}/", str(server.mountpoint / "copy")], "/")
    again = run(["rsync", "-ain", f"{sources}/", str(remounted(server) / "copy")], "/")
    assert again == ""


@pytest.fixture
def s3fs(s3_bucket: Bucket, mounts_folder: Path) -> Iterator[Path]:
    """The same bucket, mounted by s3fs."""
    program = shutil.which("s3fs")
    if program is None:
        pytest.skip("s3fs is missing; to install it: apt install s3fs")
    folder = mounts_folder / f"{s3_bucket.name}-s3fs"
    (folder / "mnt").mkdir(parents=True)
    password = folder / "password"
    password.write_text(f"{s3_bucket.key_id}:{s3_bucket.secret}")
    password.chmod(0o600)
    options = [f"passwd_file={password}", f"url=http://{HOST}:{s3_bucket.port}", "use_path_request_style"]
    options += [f"endpoint={s3_bucket.region}", "stat_cache_expire=0", "sigv4"]
    command = [program, s3_bucket.name, str(folder / "mnt"), "-o", ",".join(options)]
    subprocess.run(command, check=True, timeout=60)
    yield folder / "mnt"
    subprocess.run(["umount", "-l", folder / "mnt"], check=True, timeout=60)


def test_what_s3fs_has_written(server: Server, s3fs: Path) -> None:
    (s3fs / "file").write_bytes(b"content")
    give_attributes(s3fs / "file")
    os.symlink("file", s3fs / "link")
    wanted = tree(s3fs)
    assert wanted["file"] == (oct(0o104751), *OWNER, MOMENT, 7)
    assert tree(server.mountpoint) == wanted
    assert (server.mountpoint / "link").read_bytes() == b"content"


def test_what_s3fs_reads(server: Server, s3fs: Path) -> None:
    (server.mountpoint / "file").write_bytes(b"content")
    (server.mountpoint / "with the content").write_bytes(b"content")
    give_attributes(server.mountpoint / "file")
    os.symlink("file", server.mountpoint / "link")
    wanted = tree(server.mountpoint)
    assert tree(s3fs) == wanted
    assert (s3fs / "link").read_bytes() == b"content"
    (s3fs / "file").chmod(0o600)
    assert oct((remounted(server) / "file").stat().st_mode) == oct(0o100600)


@MARKED
def test_directories_are_the_same_for_s3fs(server: Server, s3fs: Path) -> None:
    wanted = made_directories(server.mountpoint)
    assert directories(s3fs) == wanted
    (s3fs / "of s3fs").mkdir(0o750)
    os.chown(s3fs / "of s3fs", *OWNER)
    (s3fs / "dir").chmod(0o705)
    wanted = {**directories(s3fs), "dir": (oct(0o40705), *wanted["dir"][1:])}
    assert directories(remounted(server)) == directories(s3fs) == wanted
