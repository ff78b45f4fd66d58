"""What every mount must do, as tests: import them into a module that has a backend, and its mount is put to them.

    import pytest
    from vfs.testing.conformance import *

    @pytest.fixture(scope="session")
    def backend(tmp_path_factory):
        return {"BACKEND": "fancy.FancyStorage", "OPTIONS": {"location": str(tmp_path_factory.mktemp("fancy"))}}

    @pytest.fixture(scope="session")
    def abilities():
        return BY_THE_KERNEL | {"symlinks"}

`backend` is a definition as in STORAGES, of an empty storage that keeps what it has outside of the process: it is
mounted by `vfs mount`, once for all tests, which have a directory each. `abilities` (`vfs.testing.place.ABILITIES` has
them all) says what it can do beyond files and their content; where it cannot, the tests see that it says so. The same
tests run on plain directories: there is nothing here that a disk does not do.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

from vfs.testing.configuration import toml
from vfs.testing.conformance.attributes import *
from vfs.testing.conformance.content import *
from vfs.testing.conformance.directories import *
from vfs.testing.conformance.links import *
from vfs.testing.conformance.locks import *
from vfs.testing.conformance.mappings import *
from vfs.testing.conformance.names import *
from vfs.testing.conformance.opening import *
from vfs.testing.conformance.ranges import *
from vfs.testing.conformance.unnamed import *
from vfs.testing.place import BY_THE_KERNEL, IS_ROOT, Place

_numbers = itertools.count()


@pytest.fixture(scope="session")
def abilities() -> frozenset[str]:
    """What every storage can do when it is mounted by the kernel's transport."""
    return BY_THE_KERNEL


@pytest.fixture(scope="session")
def mountpoint(backend: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the backend is mounted."""
    folder = tmp_path_factory.mktemp("conformance")
    config, mountpoint = folder / "vfs.toml", folder / "mnt"
    mountpoint.mkdir()
    config.write_text("".join(toml("STORAGES.tested", backend)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "XDG_STATE_HOME": str(folder / "state")}

    def vfs(*words: str | Path) -> None:
        command = [sys.executable, "-m", "vfs", "--config", config, *words]
        subprocess.run(command, env=environment, cwd="/", check=True)

    vfs("mount", "tested", mountpoint, *(["-o", "allow_other"] if IS_ROOT else []))
    try:
        yield mountpoint
        vfs("unmount", mountpoint)
    except BaseException:
        vfs("unmount", "--lazy", mountpoint)
        raise


@pytest.fixture
def place(mountpoint: Path, abilities: frozenset[str]) -> Place:
    """A directory of the mount that is new and empty."""
    path = mountpoint / f"{next(_numbers)}"
    path.mkdir()
    return Place(path, abilities)
