"""An S3 server: moto, which keeps all in memory and holds If-Match and If-None-Match of single requests.

It ignores If-Match when a multipart upload is completed, and takes any secret: wrong credentials are a proxy's answer.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPMessage
from typing import Self
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from services.server import HOST, Server
from services.space import Options, ask

# Without the search for one of AWS's 200 services that moto's own program makes for each request.
_SERVE = """
import sys
from moto.server import MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

host, port = sys.argv[1:]
run_simple(host, int(port), create_backend_app("s3"), threaded=True, request_handler=MotoRequestHandler)
"""

_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class S3Server(Server):
    """moto's server of S3."""

    NEEDS = ("moto", "flask_cors")
    READY = r"Running on http://"

    def command(self) -> list[str]:
        return [sys.executable, "-c", _SERVE, HOST, str(self.port)]

    def bucket(self) -> Bucket:
        """A new bucket."""
        bucket = Bucket(f"bucket-{next(_numbers)}", port=self.port)
        bucket.ask("PUT", "")
        return bucket


@dataclass(frozen=True)
class Bucket:
    """A bucket, and the access to it; see `space.Space`."""

    name: str
    port: int = field(kw_only=True)
    key_id: str = "access-key"
    secret: str = field(default="secret-key", repr=False)
    region: str = "us-east-1"

    @property
    def endpoint(self) -> str:
        """Its server's URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def opendal(self) -> Options:
        """OPTIONS for OpenDAL."""
        return {
            "scheme": "s3",
            "bucket": self.name,
            "endpoint": self.endpoint,
            "region": self.region,
            "access_key_id": self.key_id,
            "secret_access_key": self.secret,
        }

    @property
    def fsspec(self) -> tuple[str, Options, str]:
        """fsspec's protocol, its options, and the path of this space."""
        options = {
            "key": self.key_id,
            "secret": self.secret,
            "endpoint_url": self.endpoint,
            "client_kwargs": {"region_name": self.region},
        }
        return "s3", options, self.name

    @property
    def django(self) -> Options:
        """An entry for STORAGES."""
        options = {
            "bucket_name": self.name,
            "endpoint_url": self.endpoint,
            "region_name": self.region,
            "access_key": self.key_id,
            "secret_key": self.secret,
        }
        return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}

    def at(self, port: int) -> Self:
        return replace(self, port=port)

    def put(self, key: str, content: bytes) -> None:
        self.ask("PUT", quote(key), content)

    def get(self, key: str) -> bytes:
        return self.ask("GET", quote(key))[0]

    def delete(self, key: str) -> None:
        self.ask("DELETE", quote(key))

    def etag(self, key: str) -> str:
        """The version that a conditional request names."""
        return self.ask("HEAD", quote(key))[1]["ETag"]

    def keys(self, page: int = 1000) -> list[str]:
        return sorted(self._keys(page))

    def uploads(self) -> int:
        """How many multipart uploads are neither complete nor aborted."""
        answer, _ = self.ask("GET", "?uploads")
        return len(ElementTree.fromstring(answer).findall(f"{_XML}Upload"))

    def _keys(self, size: int) -> Iterator[str]:
        after: dict[str, str] = {}
        while True:
            query = urlencode({"list-type": "2", "max-keys": size, **after})
            answer, _ = self.ask("GET", f"?{query}")
            page = ElementTree.fromstring(answer)
            yield from (found.text or "" for found in page.iterfind(f"{_XML}Contents/{_XML}Key"))
            token = page.findtext(f"{_XML}NextContinuationToken")
            if token is None:
                return
            after = {"continuation-token": token}

    def ask(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, HTTPMessage]:
        """One request for an object, or, with nothing or a query as `target`, for the bucket."""
        slash = "/" if target and not target.startswith("?") else ""
        scope = f"{self.key_id}/20260101/{self.region}/s3/aws4_request"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}", "Content-Length": str(len(body))}
        return ask(self.port, method, f"/{self.name}{slash}{target}", body, {**signed, **(headers or {})})


_numbers = itertools.count(1)
