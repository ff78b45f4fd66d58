"""The log of a daemon: what its lines are, what comes into it, and what never does."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from vfs.watch.logs import Log

ADDRESS = "https://me:pass-word@host/bucket/file?X-Amz-Signature=0123abc&X-Amz-Date=1"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What was logged, to a stream that takes the place of all handlers."""
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in ("vfs", "storage")]
    handlers, levels = list(root.handlers), [it.level for it in (root, *ours)]
    for handler in handlers:
        root.removeHandler(handler)
    yield io.StringIO()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    for it, level in zip((root, *ours), levels, strict=True):
        it.setLevel(level)


def log_to(stream: io.StringIO, form: str = "text") -> Log:
    log = Log()
    log.begin(logging.StreamHandler(stream), form, secrets=["top-secret", "a"], alias="photos", mount="/mnt/p")
    return log


def test_lines_of_text(written: io.StringIO) -> None:
    log_to(written)
    logging.getLogger("vfs").info("mounted %s", "photos")
    logging.getLogger("vfs").debug("a detail")
    time, level, rest = written.getvalue().partition(" INFO ")
    assert (level, rest) == (" INFO ", "vfs: mounted photos\n")
    assert time[:2] == "20"


def test_lines_of_json(written: io.StringIO) -> None:
    log_to(written, "json")
    try:
        raise ValueError("a bug\nof two lines")
    except ValueError:
        logging.getLogger("storage").exception("not stored: %s", "caf\udce9")
    (line,) = written.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found.pop("exception").endswith("ValueError: a bug\nof two lines")
    assert found == {
        "level": "error",
        "logger": "storage",
        "message": "not stored: caf\ufffd",
        "alias": "photos",
        "mount": "/mnt/p",
    }


def test_the_level_is_that_of_our_own_lines(written: io.StringIO) -> None:
    """What libraries say of their requests when they are debugged has secrets in it."""
    log = log_to(written)
    assert log.change(level="debug") == {"level": "debug", "form": "text"}
    logging.getLogger("vfs").debug("ours")
    logging.getLogger("storage.remote").debug("ours too")
    logging.getLogger("botocore.auth").debug("Authorization: AWS4-HMAC-SHA256 ...")
    logging.getLogger("botocore.auth").info("theirs")
    assert [line.rpartition(": ")[2] for line in written.getvalue().splitlines()[1:]] == ["ours", "ours too", "theirs"]
    log.change(level="error")
    written.truncate(0)
    logging.getLogger("vfs").warning("ours")
    logging.getLogger("botocore.auth").warning("theirs")
    assert written.getvalue() == ""


def test_the_form_changes_as_well(written: io.StringIO) -> None:
    log = log_to(written)
    assert log.change(form="json") == {"level": "info", "form": "json"}
    assert log.change() == {"level": "info", "form": "json"}
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["message"] == "logged from now on: info and above, as json"
    for change in ({"level": "all"}, {"form": "xml"}):
        with pytest.raises(OSError, match="no such level or format"):
            log.change(**change)


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_taken_out(written: io.StringIO, form: str) -> None:
    log_to(written, form)
    try:
        raise ConnectionError(f"not reached: {ADDRESS}")
    except ConnectionError as error:
        logging.getLogger("some.client").exception("failed: %s", error)
    logging.getLogger("some.client").info("the key is top-secret")
    text = written.getvalue()
    assert "the key is ..." in text
    assert text.count("host/bucket/file") == 2
    assert "pass-word" not in text
    assert "0123abc" not in text
