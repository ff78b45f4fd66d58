"""Azure Blob Storage: Azurite, Microsoft's emulator (npm), which holds If-Match, If-None-Match and block lists.

Its account and key are the ones that every Azurite has. Telemetry came with 3.34: hence an older one is installed.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from services.server import HOST, ROOT, Server, program
from services.space import Options

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

_MAIN = ROOT / ".cache/npm/node_modules/azurite/dist/src/blob/main.js"


class Azurite(Server):
    """Azurite's blob service."""

    NEEDS = (str(_MAIN), "azure.storage.blob", "node")
    READY = r"successfully listens on http://"

    def command(self) -> list[str]:
        where = ["--blobHost", HOST, "--blobPort", str(self.port), "--location", str(self.folder)]
        return [program("node") or "node", str(_MAIN), *where, "--skipApiVersionCheck", "--silent"]

    def container(self) -> Container:
        """A new container."""
        container = Container(f"container-{next(_numbers)}", port=self.port)
        with container.client() as client:
            client.create_container()
        return container


@dataclass(frozen=True)
class Container:
    """A container, and the access to it; see `space.Space`."""

    name: str
    port: int = field(kw_only=True)
    account: str = "devstoreaccount1"
    key: str = field(
        default="Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==", repr=False
    )

    @property
    def endpoint(self) -> str:
        """Its account's URL."""
        return f"http://{HOST}:{self.port}/{self.account}"

    @property
    def connection_string(self) -> str:
        """What Azure's own programs are told."""
        account = f"AccountName={self.account};AccountKey={self.key}"
        return f"DefaultEndpointsProtocol=http;{account};BlobEndpoint={self.endpoint};"

    @property
    def opendal(self) -> Options:
        """OPTIONS for OpenDAL."""
        return {
            "scheme": "azblob",
            "container": self.name,
            "endpoint": self.endpoint,
            "account_name": self.account,
            "account_key": self.key,
        }

    @property
    def fsspec(self) -> tuple[str, Options, str]:
        """fsspec's protocol, its options, and the path of this space."""
        return "abfs", {"account_name": self.account, "connection_string": self.connection_string}, self.name

    @property
    def django(self) -> Options:
        """An entry for STORAGES."""
        options = {
            "azure_container": self.name,
            "account_name": self.account,
            "account_key": self.key,
            "connection_string": self.connection_string,
        }
        return {"BACKEND": "storages.backends.azure_storage.AzureStorage", "OPTIONS": options}

    def client(self) -> ContainerClient:
        """Azure's own client of it, to be closed by the caller."""
        from azure.storage.blob import ContainerClient

        return ContainerClient.from_connection_string(self.connection_string, self.name)

    def at(self, port: int) -> Self:
        return replace(self, port=port)

    def put(self, key: str, content: bytes) -> None:
        with self.client() as client:
            client.upload_blob(key, content, overwrite=True).close()

    def get(self, key: str) -> bytes:
        from azure.core.exceptions import ResourceNotFoundError

        with self.client() as client:
            try:
                content: bytes = client.download_blob(key).readall()
            except ResourceNotFoundError as error:
                raise FileNotFoundError(key) from error
        return content

    def delete(self, key: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        with self.client() as client, suppress(ResourceNotFoundError):
            client.delete_blob(key)

    def keys(self) -> list[str]:
        with self.client() as client:
            return sorted(client.list_blob_names())


_numbers = itertools.count(1)
