"""The pieces of work on a plain folder, the process that does one, and the peer that answers nothing but an open."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmark import bare, runner, trees, worker
from benchmark.work import Piece, Sizes, Unit
from benchmark.worker import ROOT, User, WorkError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark is for Linux")

SIZES = Sizes(files=20, entries=30, large=3 << 20, random=1 << 20, operations=200, seconds=5.0, tree=12)
ME = User("me", os.geteuid(), os.getegid())
AMOUNTS = {"small": 20, "listing": 30, "large": 3 << 20, "random": 200, "tree": 12}


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("tree") / "tree"
    trees.make_tree(folder, SIZES.tree)
    return folder


@pytest.mark.parametrize("piece", runner.PIECES, ids=lambda piece: piece.name)
def test_each_piece_does_what_it_counts_alone(piece: type[Piece], tmp_path: Path, tree: Path) -> None:
    done = worker.work(piece(tmp_path, SIZES, tree), ME, lambda: None)
    expected = AMOUNTS[piece.group]
    assert done.amount == expected if piece.group != "tree" else done.amount > expected, "git's own files count too"
    assert done.seconds > 0
    assert (tmp_path / piece.group).is_dir()
    piece.clean(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pieces_of_a_group_follow_each_other(tmp_path: Path, tree: Path) -> None:
    left = {}
    for piece in runner.PIECES:
        if piece.group == "small":
            worker.work(piece(tmp_path, SIZES, tree), ME, lambda: None)
            left[piece.name] = sorted(os.listdir(tmp_path / "small"))
    assert len(left["create"]) == len(left["rename"]) == SIZES.files
    assert left["rename"][0] == "other-file-000000"
    assert left["unlink"] == []


class Odd(Piece):
    """Dies, or fails if something was done before."""

    name, title, group, unit = "odd", "odd", "odd", Unit.OPERATIONS

    def run(self) -> int:
        if not (self.place / "before").exists():
            os._exit(3)
        raise OSError(errno.ENOSPC, "full")


def test_a_piece_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"working: OSError: \[Errno 28\] full"):
        worker.work(Odd(tmp_path, SIZES, tmp_path), ME, (tmp_path / "before").touch)


def test_a_process_that_dies_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="its process died"):
        worker.work(Odd(tmp_path, SIZES, tmp_path), ME, lambda: None)


def test_a_piece_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 0.1)
    read, write = os.pipe()
    with pytest.raises(WorkError, match="no end after"):
        worker.call(lambda: os.read(read, 1), ME)
    os.close(read)
    os.close(write)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_work_is_done_as_its_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(WorkError, match="PermissionError"):
        worker.call(lambda: os.listdir(tmp_path), User("nobody", 65534, 65534))
    assert worker.call(lambda: os.listdir(tmp_path), ROOT) > 0


def test_cpu_time_is_that_of_the_process() -> None:
    before = worker.cpu_seconds(os.getpid())
    sum(range(2_000_000))
    assert 0.001 < worker.cpu_seconds(os.getpid()) - before < 10
    with pytest.raises(WorkError, match="has died"):
        worker.cpu_seconds(2**22 + 1)


# --- The bare responder ---


@pytest.fixture
def ask(tmp_path: Path):
    """Send a request to a responder over a file in place of the device; its errno and the rest of its answer."""
    (tmp_path / "random").mkdir()
    (tmp_path / "random/file").write_bytes(b"x" * 5000)
    read, write = os.pipe()
    responder = bare.Responder(tmp_path, write)

    def send(opcode: int, node: int, body: bytes = b"") -> tuple[int, bytes]:
        header = bare.IN_HEADER.pack(bare.IN_HEADER.size + len(body), opcode, 77, node, 0, 0, 1, 0, 0)
        responder.answer(header + body)
        if opcode in bare.UNANSWERED:
            os.write(write, bare.OUT_HEADER.pack(16, 0, 0))
        answer = os.read(read, 65536)
        length, code, unique = bare.OUT_HEADER.unpack_from(answer)
        assert length == len(answer)
        assert unique == (0 if opcode in bare.UNANSWERED else 77)
        return -code, answer[16:]

    yield send
    for descriptor in (read, write, responder.file, responder.folder):
        os.close(descriptor)


def test_bare_finds_its_one_file_and_nothing_else(ask) -> None:
    code, entry = ask(bare.LOOKUP, bare.FOLDER, b"file\0")
    assert (code, len(entry)) == (0, 128)
    assert struct.unpack_from("<Q", entry)[0] == bare.FILE
    assert bare.ATTRIBUTES.unpack_from(entry, 40)[1] == 5000
    assert ask(bare.LOOKUP, bare.ROOT, b"file\0") == (errno.ENOENT, b"")
    assert len(ask(bare.GETATTR, bare.ROOT)[1]) == 104


def test_bare_refuses_what_it_does_not_know(ask) -> None:
    assert ask(9999, bare.ROOT) == (errno.ENOSYS, b"")
    assert ask(bare.FORGET, bare.FILE) == (0, b"")
    assert ask(bare.OPEN, bare.FILE)[0] == errno.ENOTTY, "a pipe takes no descriptors"


def test_bare_needs_passthrough(ask) -> None:
    offered = struct.pack("<IIIII", 7, 45, 131072, bare.INIT_EXT, bare.PASSTHROUGH)
    code, agreed = ask(bare.INIT, 0, offered)
    assert (code, len(agreed)) == (0, 64)
    with pytest.raises(NotImplementedError):
        ask(bare.INIT, 0, struct.pack("<IIIII", 7, 38, 131072, 0, 0))


# --- The command line ---


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--work", "nothing"], "no work called 'nothing'"), (["--places", "nowhere"], "no place called 'nowhere'")],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="the benchmark runs as root")
def test_names_that_are_not_there(words: list[str], message: str, tmp_path: Path) -> None:
    from benchmark.__main__ import main

    result = CliRunner().invoke(main, [*words, "--folder", str(tmp_path)])
    assert result.exit_code == 2
    assert message in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_list_names_every_place_and_work() -> None:
    from benchmark.__main__ import main

    result = CliRunner().invoke(main, ["--list"])
    assert result.exit_code == 0
    for name in ("memory/kernel-user", "bare/local", "passthrough_hp", *(piece.name for piece in runner.PIECES)):
        assert f" {name} " in result.output


@pytest.mark.mount
@pytest.mark.skipif(os.geteuid() != 0, reason="the benchmark runs as root")
def test_a_run_measures_mounts_and_leaves_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "disk").mkdir()
    script = [sys.executable, "-m", "benchmark", "--quick", "--rounds", "1", "--folder", str(tmp_path / "disk")]
    places = ["--places", "memory/kernel,local/fusepy,tmpfs,disk", "--work", "create,stat-cold"]
    written = ["--json", str(tmp_path / "bench.json"), "--picture", str(tmp_path / "bench.svg")]
    environment = {**os.environ, "PYTHONPATH": str(Path(bare.__file__).parents[1])}
    done = subprocess.run(
        [*script, *places, *written], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    content = json.loads((tmp_path / "bench.json").read_text())
    measured = {(figure["place"], figure["work"]): figure for figure in content["figures"]}
    assert len(measured) == 4 * 2 + 2, "two of the places take a time to mount"
    assert measured["memory/kernel", "create"]["cpu"] > 0
    assert measured["memory/kernel", "create"]["requests"]["create"] == 1
    assert measured["tmpfs", "create"]["cpu"] is None
    assert "<svg" in (tmp_path / "bench.svg").read_text()
    assert list((tmp_path / "disk").iterdir()) == []
