"""What the benchmark makes of its samples: medians, ratios, verdicts, tables and a picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmark import picture, report, runner, targets
from benchmark.places import Folder, Place
from benchmark.samples import Failure, Sample, Samples
from benchmark.targets import Target

SVG = "{http://www.w3.org/2000/svg}"


def samples(place: str, work: str, *seconds: float, amount: int = 100, cpu: float | None = None) -> list[Sample]:
    return [Sample(place, work, amount, each, cpu) for each in seconds]


def test_a_figure_is_the_median_of_its_rounds() -> None:
    figure = Samples(samples("tmpfs", "create", 1.0, 50.0, 2.0, cpu=0.5)).figure("tmpfs", "create")
    assert figure is not None
    assert (figure.rate, figure.cpu, figure.rounds) == (50.0, 0.005, 3)


def test_what_was_not_measured_has_no_figure_and_no_ratio() -> None:
    found = Samples(samples("tmpfs", "create", 1.0))
    assert found.figure("tmpfs", "rename") is None
    assert found.ratio("create", "tmpfs", "disk") is None
    assert found.ratio("create", "disk", "tmpfs") is None


def test_requests_are_counted_for_each_operation() -> None:
    rounds = [Sample("p", "w", 100, 1.0, None, {"open": 100, "read": count}) for count in (200, 200, 900)]
    figure = Samples([*rounds, Sample("p", "w", 100, 1.0, None, {"lookup": 1})]).figure("p", "w")
    assert figure is not None
    assert figure.requests == {"read": 2.0, "open": 1.0}, "the median of lookups is none"


@pytest.mark.parametrize(("ours", "reached"), [(1.0, True), (1.004, True), (1.02, False)])
def test_a_target_is_judged_by_what_is_shown(ours: float, reached: bool) -> None:
    found = Samples(samples("a", "create", ours, ours, ours) + samples("b", "create", 1.0, 0.1, 9.0))
    [verdict] = targets.judge(found, [Target("a", "create", "b", 1.0), Target("a", "create", "absent", 1.0)])
    assert verdict.reached is reached
    assert verdict.ratio == pytest.approx(1.0 / ours)


def test_each_target_names_work_that_is_done() -> None:
    assert {target.work for target in targets.TARGETS} <= {piece.name for piece in runner.PIECES}
    assert len(set(targets.TARGETS)) == len(targets.TARGETS)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.50"), (9.996, "10.0"), (99.96, "100"), (999.6, "1.00k"), (1234.0, "1.23k"), (2e9, "2.00G")],
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert report.number(value) == shown


def test_units() -> None:
    assert report.rate("create", 14900) == "14.9k/s"
    assert report.rate("write", 1.5e9) == "1.50GB/s"
    assert report.rate(runner.MOUNT, 4) == "0.25s"
    assert report.cpu("create", 45e-6) == "45µs"
    assert report.cpu("write", 1 / 2**30) == "1.00s"


def test_requests_are_written_out() -> None:
    assert report.requests({"lookup": 1.0, "open": 0.5, "batch_forget": 0.001}) == "1.50: lookup 1.00, open 0.50"
    assert report.requests({"write": 8 / 2**20}, 2**20) == "8.00: write 8.00"
    assert report.requests({}) == "none"


def shown(found: Samples, places: list[Place]) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))
    with console.file:
        report.show(console, found, places, targets.judge(found))
    return console.export_text()


def test_the_report_shows_figures_verdicts_and_failures(tmp_path: Path) -> None:
    found = Samples(
        samples("memory/kernel", "write", 1.0, amount=90, cpu=0.1) + samples("tmpfs", "write", 1.0, amount=100),
        [Failure("tmpfs", "rename", "no [reason]"), Failure("tmpfs", "unlink", "another")],
    )
    places: list[Place] = [Folder(name, name, tmp_path, "memory") for name in ("memory/kernel", "tmpfs")]
    text = shown(found, places)
    assert "90.0B/s" in text
    assert "0.90 " in text
    assert "1 of 1 targets are reached" in text
    assert "can't" in text
    assert "tmpfs can't do rename, unlink: no [reason]" in text
    assert "Files on the disk" not in text, "no place of that family took part"


def test_the_picture_is_svg_with_a_bar_for_each_ratio() -> None:
    found = Samples(
        samples("rclone", "create", 1.0) + samples("local/kernel", "create", 0.1) + samples("disk", "create", 5.0)
    )
    drawn = ElementTree.fromstring(picture.draw(found, "a machine of <ours> & yours"))
    bars = [rect for rect in drawn.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    tips = [tip.text or "" for tip in drawn.iter(f"{SVG}title")]
    assert tips == [
        "vfs, local files: create 4 KiB files, 1.00k/s, 10.0x",
        "the disk, without FUSE: create 4 KiB files, 20.0/s, 0.20x",
    ]
    faster, slower = bars
    one = float(faster.attrib["x"])
    assert float(faster.attrib["width"]) > 1
    assert float(slower.attrib["x"]) < one
    assert float(slower.attrib["x"]) + float(slower.attrib["width"]) == pytest.approx(one, abs=0.2)
    assert "prefers-color-scheme: dark" in "".join(drawn.itertext())
    assert "a machine of <ours> & yours" in "".join(drawn.itertext())


def test_a_picture_of_nothing_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="rclone"):
        picture.draw(Samples(), "")
    with pytest.raises(ValueError, match="memory/kernel"):
        picture.draw(Samples(samples("rclone", "create", 1.0)), "")
