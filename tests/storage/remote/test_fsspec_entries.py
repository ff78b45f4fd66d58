"""What filesystems of fsspec tell and raise, in this package's terms; no server and no client is needed for it."""

from __future__ import annotations

import errno
import ftplib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from storage import Entry, Kind, VersionMismatchError
from storage.remote.fsspec.entries import entries_of, entry_of
from storage.remote.fsspec.errors import translate, translating

MOMENT = datetime(2024, 5, 1, 12, 30, 15, 250_000, tzinfo=UTC)
NS = 1_714_566_615_250_000_000


@pytest.mark.parametrize(
    "told",
    [
        {"mtime": MOMENT},
        {"mtime": MOMENT.timestamp()},
        {"LastModified": MOMENT},
        {"updated": "2024-05-01T12:30:15.250Z"},
        {"modify": "20240501123015.250"},
        {"modificationTime": round(MOMENT.timestamp() * 1000)},
        {"created": MOMENT},
    ],
    ids=lambda told: next(iter(told)),
)
def test_times_are_understood_in_any_form(told: dict[str, Any]) -> None:
    entry = entry_of({"name": "/a/b", "size": 3, "type": "file", **told})
    assert (entry.name, entry.kind, entry.size, entry.mtime_ns) == ("b", Kind.FILE, 3, NS)
    assert entry.version is not None


@pytest.mark.parametrize("told", [{"mtime": None}, {"mtime": "yesterday"}, {}])
def test_what_is_not_told_is_not_made_up(told: dict[str, Any]) -> None:
    entry = entry_of({"name": "b", "size": None, "type": "file", **told})
    assert (entry.size, entry.mtime_ns, entry.version) == (0, None, None)


def test_the_protocol_s_own_version_goes_first() -> None:
    info = {"name": "b", "size": 3, "type": "file", "mtime": MOMENT}
    assert entry_of({**info, "ETag": '"abc"'}).version == "abc"
    assert entry_of({**info, "etag": 'W/"abc"'}).version == "abc"
    assert entry_of({**info, "generation": "17", "etag": "CJ"}).version == "17"
    assert entry_of(info).version != entry_of({**info, "size": 4}).version


def test_a_listing_shows_what_can_be_named(caplog: pytest.LogCaptureFixture) -> None:
    listed = [
        {"name": "bucket/d/", "type": "file", "size": 0},  # the marker of the directory itself
        {"name": "bucket/d//", "type": "directory"},  # of an object called bucket/d//f
        {"name": "bucket/d/x", "type": "file", "size": 1},
        {"name": "bucket/d/x", "type": "directory"},
        {"name": "bucket/d/a#b", "type": "file", "size": 1},
        {"name": "bucket/d/sub/", "type": "directory"},
    ]
    with caplog.at_level(logging.WARNING):
        found = list(entries_of("bucket/d", listed, lambda name: "#" not in name))
    assert found == [Entry("x", Kind.DIRECTORY), Entry("sub", Kind.DIRECTORY)]
    assert len(caplog.records) == 3


def raised(raising: Callable[[], Any]) -> Exception:
    try:
        raising()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def of_botocore(code: str, status: int) -> Exception:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return type("ClientError", (Exception,), {"response": response})(code)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("cause", "wanted"),
    [
        (of_botocore("NoSuchBucket", 404), OSError),
        (of_botocore("SlowDown", 503), ConnectionError),
        (of_botocore("AccessDenied", 403), PermissionError),
        (of_botocore("PreconditionFailed", 412), VersionMismatchError),
        (ftplib.error_temp("421 too many connections"), ConnectionError),
        (EOFError(), ConnectionError),
    ],
    ids=repr,
)
def test_what_is_called_absence_is_looked_at(cause: Exception, wanted: type[OSError]) -> None:
    def call() -> None:
        raise FileNotFoundError("a") from cause

    translated = translate(raised(call), "a")
    assert isinstance(translated, wanted)
    assert not isinstance(translated, FileNotFoundError)


def test_real_absence_stays_that() -> None:
    for cause in (of_botocore("404", 404), ftplib.error_perm("550 No such file or directory"), KeyError("a")):

        def call(cause: Exception = cause) -> None:
            raise FileNotFoundError("a") from cause

        translated = translate(raised(call), "name")
        assert isinstance(translated, FileNotFoundError)
        assert translated.errno == errno.ENOENT


def test_what_the_caller_was_handling_has_nothing_to_do_with_it() -> None:
    def call() -> None:
        try:
            raise of_botocore("PreconditionFailed", 412)
        except Exception:
            with translating("a"):
                raise FileNotFoundError("a")  # noqa: B904

    assert isinstance(raised(call), FileNotFoundError)


@pytest.mark.parametrize(
    ("error", "wanted", "code"),
    [
        (FileExistsError("a"), FileExistsError, errno.EEXIST),
        (IsADirectoryError("a"), IsADirectoryError, errno.EISDIR),
        (PermissionError("a"), PermissionError, errno.EACCES),
        (OSError("Socket is closed"), ConnectionError, errno.EIO),
        (OSError("Failure"), OSError, errno.EIO),
        (OSError("Failure of sftp://bob:hidden@host"), OSError, errno.EIO),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), OSError, errno.EILSEQ),
    ],
    ids=repr,
)
def test_what_says_no_number_gets_one(error: Exception, wanted: type[OSError], code: int) -> None:
    translated = translate(error, "a")
    assert isinstance(translated, wanted)
    assert translated.errno == code
    assert "hidden" not in str(translated)
