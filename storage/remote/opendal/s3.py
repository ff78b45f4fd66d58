"""The few requests to S3 that OpenDAL cannot make: which uploads in parts are under way, and an end to one.

They are signed as AWS has it (Signature Version 4), with the standard library. Credentials are those of the OPTIONS, of
the environment or of a profile; where OpenDAL gets them from the machine or from a role, these requests are not made.
"""

from __future__ import annotations

import configparser
import hashlib
import hmac
import http.client
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

SECONDS = 5.0
"""How long one request may take without progress."""
_NOTHING = hashlib.sha256(b"").hexdigest()
_SIGNED_ELSEWHERE = ("role_arn", "allow_anonymous", "skip_signature")


class Credentials(NamedTuple):
    """A key and its secret, with a token where they are good for a while only."""

    key: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        """Nothing of them."""
        return "<credentials>"

    @classmethod
    def of(cls, options: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> Self | None:
        """Those that OpenDAL uses, of what can be known of that; None for others."""
        if any(options.get(option) not in (None, "false") for option in _SIGNED_ELSEWHERE):
            return None
        found = [options.get(name, "") for name in ("access_key_id", "secret_access_key", "session_token")]
        if not found[0] and options.get("disable_config_load") != "true":
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
            found = [environment.get(name, "") for name in names]
            found = found if found[0] else _of_profile(environment)
        return cls(*found) if found[0] and found[1] else None


class S3:
    """One bucket, and the root that names are below."""

    def __init__(self, options: Mapping[str, str], credentials: Credentials, region: str) -> None:
        """By OpenDAL's options."""
        self._credentials = credentials
        self._region = region
        parts = urlsplit(_endpoint(options, region))
        self._connect = http.client.HTTPConnection if parts.scheme == "http" else http.client.HTTPSConnection
        bucket, self._root = options["bucket"], options.get("root", "").strip("/")
        is_virtual = options.get("enable_virtual_host_style") == "true"
        self._host = f"{bucket}.{parts.netloc}" if is_virtual else parts.netloc
        self._bucket = parts.path.rstrip("/") if is_virtual else f"{parts.path.rstrip('/')}/{quote(bucket)}"

    @classmethod
    def of(cls, scheme: str, options: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> Self | None:
        """For a storage over S3 whose region and credentials can be known."""
        credentials = Credentials.of(options, environment) if scheme == "s3" and options.get("bucket") else None
        region = options.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        return cls(options, credentials, region) if credentials and region else None

    def uploads(self, name: str) -> list[str]:
        """The ids of uploads of an object that are neither complete nor aborted; OSError."""
        key = self._key(name)
        found = self._asked("GET", "/", {"uploads": "", "prefix": key})
        return [_text(upload, "UploadId") for upload in found.findall("{*}Upload") if _text(upload, "Key") == key]

    def parts(self, name: str, upload: str, most: int) -> dict[int, str]:
        """By their numbers, the etags of those of the first parts of an upload that have come; OSError."""
        answer = self._asked("GET", self._path(name), {"uploadId": upload, "max-parts": f"{most}"})
        found = {int(_text(part, "PartNumber")): _text(part, "ETag").strip('"') for part in answer.findall("{*}Part")}
        return {number: etag for number, etag in found.items() if number <= most}

    def abort(self, name: str, upload: str) -> None:
        """End an upload, of which nothing is left then; OSError."""
        self._ask("DELETE", self._path(name), {"uploadId": upload})

    def headers(self, method: str, path: str, query: str, now: datetime) -> dict[str, str]:
        """Those that make a request without a body one of ours; path and query as they are sent, in order."""
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        signed = {"host": self._host, "x-amz-content-sha256": _NOTHING, "x-amz-date": stamp}
        if self._credentials.token:
            signed["x-amz-security-token"] = self._credentials.token
        names = ";".join(sorted(signed))
        lines = [f"{name}:{signed[name]}" for name in sorted(signed)]
        request = "\n".join([method, path, query, *lines, "", names, _NOTHING])
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        words = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = f"AWS4{self._credentials.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, words.encode(), "sha256").hex()
        credential = f"Credential={self._credentials.key}/{scope}"
        return {
            **signed,
            "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}",
        }

    def _asked(self, method: str, path: str, query: dict[str, str]) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(self._ask(method, path, query))  # noqa: S314 - of the server that has our data
        except ElementTree.ParseError as error:
            raise OSError(f"not an answer of S3: {error}") from error

    def _ask(self, method: str, path: str, query: dict[str, str]) -> bytes:
        """The body of the answer; OSError for one that is an error."""
        target, words = f"{self._bucket}{path}", urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
        connection = self._connect(self._host, timeout=SECONDS)
        try:
            signed = self.headers(method, target, words, datetime.now(UTC))
            connection.request(method, f"{target}?{words}", headers=signed)
            answer = connection.getresponse()
            body = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"not an answer: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 300:
            raise OSError(f"{method}: status {answer.status}")
        return body

    def _key(self, name: str) -> str:
        return f"{self._root}/{name}" if self._root else name

    def _path(self, name: str) -> str:
        return f"/{quote(self._key(name), safe='-_.~/')}"


def _endpoint(options: Mapping[str, str], region: str) -> str:
    endpoint = options.get("endpoint") or f"https://s3.{region}.amazonaws.com"
    return endpoint if "://" in endpoint else f"https://{endpoint}"


def _of_profile(environment: Mapping[str, str]) -> list[str]:
    """What the profile has that the environment names, or the default one."""
    path = environment.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path)
    except configparser.Error:  # OpenDAL says what it has against it
        return ["", "", ""]
    profile = environment.get("AWS_PROFILE", "default")
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return [parser.get(profile, name, fallback="") for name in names]


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
