"""What a person writes to say which file is meant: `ALIAS:path`, or a local path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

_WITH_ALIAS = re.compile(r"([^/:]+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """A file as it was written: "media:a/b" is `alias` "media" and `path` "a/b"; a local path has the alias None."""

    text: str
    alias: str | None
    path: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """A word before the first ':' that has no '/' is an alias; all else is a local path. ValueError for ""."""
        if not text:
            raise ValueError("an empty word names no file")
        match = _WITH_ALIAS.fullmatch(text)
        return cls(text, match[1], match[2]) if match else cls(text, None, text)

    @property
    def name(self) -> str:
        """The plain name in the storage: without empty components and "."; "" is the root."""
        return "/".join(part for part in self.path.split("/") if part not in ("", "."))

    @property
    def is_content(self) -> bool:
        """Whether what is in the directory is meant, and not the directory by its name: "media:", "a/.", ".."."""
        return os.path.basename(self.path.rstrip("/")) in ("", ".", "..")

    @property
    def says_directory(self) -> bool:
        """Whether it can only be a directory."""
        return self.path.endswith("/") or self.is_content


class TargetParam(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """An argument that is a `Target`; without `local` only one of a storage."""

    name = "target"

    def __init__(self, *, local: bool = False) -> None:
        """Say whether local paths are taken."""
        self._local = local

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        """Parse; a usage error where the word is not a possible target."""
        try:
            target = Target.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if target.alias is None and not self._local:
            hint = f"; for the storage of this name write {value + ':'!r}" if "/" not in value else ""
            self.fail(f"{value!r} is a local path, and this command takes ALIAS:path{hint}", param, ctx)
        return target

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Aliases, names in a storage, and where they are taken local paths."""
        from vfs.cli.completing import complete_target

        return complete_target(ctx, incomplete, local=self._local)


class AliasParam(click.ParamType):  # type: ignore[type-arg]
    """An argument that is an alias; a colon at its end is allowed."""

    name = "alias"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The alias; a usage error for a target."""
        alias, _, path = value.partition(":")
        if path or not alias:
            self.fail(f"{value!r} is not an alias; write {alias!r}" if alias else "an alias is needed", param, ctx)
        return str(alias)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The aliases."""
        from vfs.cli.completing import complete_alias

        return complete_alias(ctx, incomplete)


class MountpointParam(click.ParamType):  # type: ignore[type-arg]
    """An argument that is the path of a directory. It is not looked at: of a dead mount that would be an error."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; a usage error for none."""
        if not value or "\0" in str(value):
            self.fail("a directory is needed", param, ctx)
        return Path(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Local directories."""
        return [CompletionItem(incomplete, "dir")]
