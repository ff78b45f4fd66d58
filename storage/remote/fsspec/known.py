"""Which protocol belongs to a filesystem class, and how the class is found."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from storage.exceptions import ImproperlyConfigured
from storage.remote.fsspec.protocol import Protocol

_KNOWN = {
    "adlfs.spec.AzureBlobFileSystem": "cloud.Azure",
    "fsspec.implementations.ftp.FTPFileSystem": "ftp.FTP",
    "fsspec.implementations.local.LocalFileSystem": "here.Local",
    "fsspec.implementations.memory.MemoryFileSystem": "here.Memory",
    "fsspec.implementations.sftp.SFTPFileSystem": "ssh.Paramiko",
    "fsspec.implementations.smb.SMBFileSystem": "smb.SMB",
    "gcsfs.core.GCSFileSystem": "cloud.GCS",
    "s3fs.core.S3FileSystem": "cloud.S3",
    "sshfs.spec.SSHFileSystem": "ssh.AsyncSSH",
    "webdav4.fsspec.WebdavFileSystem": "webdav.WebDAV",
}
"""By the path of the class, or of one that it is derived from; the classes are not imported for it."""
_PACKAGES = {
    "boxfs": "boxfs",
    "dask": "dask distributed",
    "dropboxdrivefs": "dropboxdrivefs requests dropbox",
    "libarchive": "libarchive-c",
    "morefs": "'morefs[asynclocalfs]'",
    "paramiko": "'storage-vfs[sftp]'",
    "smbclient": "'storage-vfs[smb]'",
}
"""What to install for a module, where that is not called the same."""


def protocol_of(name: str) -> Protocol:
    """The protocol called `name` by fsspec, or that of a filesystem class by its dotted path.

    ImproperlyConfigured when it is not known, or when what it needs is not installed.
    """
    kind = _class_of(name)
    for cls in kind.__mro__:
        known = _KNOWN.get(f"{cls.__module__}.{cls.__qualname__}")
        if known is not None:
            module, _, protocol = known.partition(".")
            made: Protocol = getattr(import_module(f"{__package__}.{module}"), protocol)(kind)
            return made
    return Protocol(kind)


def _class_of(name: str) -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise ImproperlyConfigured(
            "FsspecStorage needs fsspec. To install it: pip install 'storage-vfs[fsspec]'"
        ) from error
    try:
        if "." in name:
            module, _, last = name.rpartition(".")
            return getattr(import_module(module), last)
        return fsspec.get_filesystem_class(name)
    except ImportError as error:
        raise not_installed(name, error) from error
    except (AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f"fsspec knows no protocol {name!r}: {error}") from error


def not_installed(protocol: str, error: ImportError) -> ImproperlyConfigured:
    """What to raise where a module that the protocol needs is not there; it says how to install that."""
    cause: BaseException | None = error
    module = error.name
    while cause is not None:  # fsspec raises an error of its own from that of the import
        module = (cause.name if isinstance(cause, ImportError) else None) or module
        cause = cause.__cause__
    if module is None:
        return ImproperlyConfigured(f"The protocol {protocol!r} of fsspec needs another package: {error}")
    top = module.partition(".")[0]
    package = _PACKAGES.get(top, top.replace("_", "-"))
    missing = f"The protocol {protocol!r} of fsspec needs {top!r}, which is not installed"
    return ImproperlyConfigured(f"{missing}. To install it: pip install {package}")
