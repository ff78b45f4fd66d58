"""What OpenDAL raises, in terms of this package's errors, without any secret.

OpenDAL's exceptions are a class for each kind of error and a text with all the rest: the code that the service gave,
the status of its answer, and the request. A file object loses even the class, which then is the text's first word.
So the kind comes from that word and what kinds leave open from the words behind it.

Only the answer that there is no such object is a FileNotFoundError. A bucket that is missing is not: to call each of
its files absent would hide a wrong configuration, or an outage.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping

from storage.exceptions import (
    ImproperlyConfigured,
    InvalidStorageError,
    NameTooLongError,
    StorageFullError,
    VersionMismatchError,
    os_error,
)
from storage.remote.secrets import secrets_in, without_secrets

_KIND = re.compile(r"(\w+) \((?:temporary|permanent|persistent)\)")
_STATUS = re.compile(r"Parts \{ (status: \d{3})")
_CONTEXT = re.compile(r", context: \{.*\} => ")
_AZURE_CODE = re.compile(r'"x-ms-error-code": "(\w+)"')
_SOURCE = re.compile(r"\n+Source:\s*(.*)", re.DOTALL)
_RESOURCE = re.compile(r'resource: "[^"]*"')
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_BACKTRACE = re.compile(r"\n+Backtrace:.*", re.DOTALL)
_NO_CONTAINER = re.compile(
    r"NoSuchBucket|ContainerNotFound|ContainerBeingDeleted|FilesystemNotFound|NoSuchContainer"
    r"|bucket (?:you requested )?does not exist",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(
    r"ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed"
    r"|InvalidAuthenticationInfo|InvalidSecurity|RequestTimeTooSkewed|AccessDenied|Forbidden|Unauthorized"
    r"|signing http request|load (?:signing )?credential|status: 40[13]",
    re.IGNORECASE,
)
_TIMED_OUT = re.compile(r"timeout|timed out|status: (?:408|504)", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"\(temporary\)|send http request|error sending request|connection|connect error|body error|unexpected (?:eof|end)"
    r"|status: (?:429|500|502|503)|SlowDown|incomplete",
    re.IGNORECASE,
)
_A_PAGE = re.compile(r"<!doctype|<html|Error \{ code: \"\"", re.IGNORECASE)
_SAYS_MORE = re.compile(f"{_NO_CONTAINER.pattern}|{_A_PAGE.pattern}", re.IGNORECASE)
"""That what was not found may not be the object."""
_SPEAK_IN_PAGES = frozenset({"http", "webdav"})
_NOT_DONE_HERE = re.compile(r"status: 501|NotImplemented")
_FULL = re.compile(r"status: 507|QuotaExceeded|InsufficientStorage|insufficient space|StorageFull", re.IGNORECASE)
_TOO_LONG = re.compile(r"KeyTooLong|file name too long", re.IGNORECASE)
_CONTAINERS = ("bucket", "container", "filesystem")
"""Options that name one."""
_NO_CREDENTIALS = re.compile(r"load (?:signing )?credential", re.IGNORECASE)
_MISSING = "No credentials are found in the OPTIONS, the environment, profiles or on the machine"
_REFUSED = "The service refuses the credentials (or they do not allow this, or the clock of this machine is wrong)"
"""The answer to a HEAD has no words: it may as well be the time of the signature that is refused."""
_WHERE = re.compile(r"^Unexpected \((?:temporary|permanent|persistent)\) at [\w:]+(?: => |$)")
"""What an error begins with that says no more than in which call of OpenDAL it came up."""
_QUIET_SECONDS = 60.0
_logger = logging.getLogger(__name__)


class Errors:
    """The translation for one storage, which knows its secrets."""

    def __init__(self, scheme: str, options: Mapping[str, str]) -> None:
        """For the service `scheme` with OpenDAL's `options`."""
        self._scheme = scheme
        self._secrets = secrets_in(options)
        place = next((options[option] for option in _CONTAINERS if options.get(option)), "")
        endpoint = without_secrets(options.get("endpoint", ""), self._secrets)
        self._container = f" {place!r}" if place else ""
        self._at = f" (at {endpoint})" if endpoint else ""
        self._guard = threading.Lock()
        self._told_at = -_QUIET_SECONDS

    @contextlib.contextmanager
    def translating(self, name: str) -> Iterator[None]:
        """Raise what OpenDAL raises in the block as this package would, `from` the original."""
        try:
            yield
        except Exception as error:
            kind = _kind(error)
            if kind is None:
                raise
            raise self._translated(error, kind, name) from error

    @contextlib.contextmanager
    def configuring(self) -> Iterator[None]:
        """The same for the making of an operator: ImproperlyConfigured."""
        try:
            yield
        except Exception as error:
            kind = _kind(error)
            if kind is None:
                raise
            text = self._scrubbed(error, _said(error))
            wrong = InvalidStorageError if kind == "Unsupported" else ImproperlyConfigured
            raise wrong(f"OpenDAL cannot make a {self._scheme!r} storage of its OPTIONS: {_summary(text)}") from error

    def _scrubbed(self, error: Exception, said: str) -> str:
        """What the exception has said, without secrets; from now on it says no more itself."""
        text = without_secrets(said, self._secrets)
        error.args = (text,)
        return text

    def _translated(self, error: Exception, kind: str, name: str) -> Exception:
        said = _said(error)
        text = _telling(said, name)  # with all secrets, which may be words of a code
        scrubbed = self._scrubbed(error, said)
        if kind == "NotFound" and not _SAYS_MORE.search(text):  # the most frequent by far
            return os_error(errno.ENOENT, name)
        summary = _summary(scrubbed)
        if _NO_CONTAINER.search(text):
            missing = f"The bucket or container{self._container} does not exist{self._at}"
            return OSError(errno.EIO, f"{missing}: make it, or mend the OPTIONS: {summary}", name)
        if kind == "PermissionDenied" or (kind in ("Unexpected", "ConfigInvalid") and _CREDENTIALS.search(text)):
            told = f"{_MISSING if _NO_CREDENTIALS.search(text) else _REFUSED}: {summary}"
            self._log_denied(told)
            return PermissionError(errno.EACCES, told, name)
        match kind:
            case "NotFound" if _A_PAGE.search(text) and self._scheme not in _SPEAK_IN_PAGES:
                return OSError(errno.EIO, f"Something that is not {self._scheme} has answered: {summary}", name)
            case "NotFound":
                return os_error(errno.ENOENT, name)
            case "ConditionNotMatch" | "Conflict" | "RangeNotSatisfied":
                return VersionMismatchError(name)
            case "AlreadyExists":
                return os_error(errno.EEXIST, name)
            case "IsADirectory":
                return os_error(errno.EISDIR, name)
            case "NotADirectory":
                return os_error(errno.ENOTDIR, name)
            case "Unsupported":
                return NotImplementedError(f"OpenDAL's {self._scheme!r}: {summary}")
            case "RateLimited":
                return ConnectionError(errno.EIO, summary, name)
        return self._of_text(text, summary, name)

    def _of_text(self, text: str, summary: str, name: str) -> Exception:
        """By the words of an error whose kind says nothing."""
        number = _OS_ERROR.search(text) if self._scheme == "fs" else None
        if number:
            return os_error(int(number[1]), name)
        if _NOT_DONE_HERE.search(text):
            return NotImplementedError(f"{self._scheme}: {summary}")
        if _FULL.search(text):
            return StorageFullError(name)
        if _TOO_LONG.search(text):
            return NameTooLongError(name)
        if _TIMED_OUT.search(text):
            return TimeoutError(errno.ETIMEDOUT, f"{summary}{self._at}", name)
        if _UNREACHABLE.search(text):
            return ConnectionError(errno.EIO, f"{summary}{self._at}", name)
        return OSError(errno.EIO, summary, name)

    def _log_denied(self, told: str) -> None:
        """Log it, once a minute at most: with wrong credentials each request is refused."""
        now = time.monotonic()
        with self._guard:
            if now - self._told_at < _QUIET_SECONDS:
                return
            self._told_at = now
            _logger.error("%s: %s", self._scheme, told, extra={"is_raised": True})


def _kind(error: Exception) -> str | None:
    """OpenDAL's kind of error, or None for an error that is not OpenDAL's."""
    if type(error).__module__ == "opendal.exceptions":
        return type(error).__name__
    if isinstance(error, OSError):  # a file object's
        found = _KIND.match(str(error))
        return found[1] if found else None
    return None


def _said(error: Exception) -> str:
    """The text of an exception, but for addresses of machine code."""
    return _BACKTRACE.sub("", str(error))


def _summary(text: str) -> str:
    """What went wrong in one line, with what it came of and the status of the answer."""
    first, *source = _SOURCE.split(text, maxsplit=1)
    summary = _CONTEXT.sub(" => ", first.partition("\n")[0])
    if source:
        summary = f"{summary}: {source[0].splitlines()[0].strip()}"
    summary = _WHERE.sub("", summary) or summary
    status = _STATUS.search(text)
    return f"{summary} ({status[1]})" if status else summary


def _telling(text: str, name: str) -> str:
    """The parts of a text that tell what went wrong: nothing that another has chosen, such as the name."""
    first, *source = _SOURCE.split(text, maxsplit=1)
    codes = [found[1] for found in (_AZURE_CODE.search(text),) if found]
    status = _STATUS.search(text)
    parts = [_CONTEXT.sub(" => ", first.partition("\n")[0]), *source, *codes, status[1] if status else ""]
    telling = _RESOURCE.sub("", " ".join(parts))
    return telling.replace(name, "") if len(name) > 1 else telling
