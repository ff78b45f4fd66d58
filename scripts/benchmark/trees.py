"""Work of real programs on a real tree: a git repository made of Python's own library."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from benchmark.work import Piece, quietly

GIT = ("git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false")


def make_tree(folder: Path, files: int) -> None:
    """A git repository in the new `folder` with the first `files` modules of Python's library, all committed."""
    library = Path(sysconfig.get_path("stdlib"))
    chosen = [path for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts][:files]
    for path in chosen:
        target = folder / path.relative_to(library)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "A tree")
    git(folder, "gc", "-q")


def git(folder: Path, *words: str) -> None:
    """`git WORDS` in `folder`; RuntimeError."""
    quietly(*GIT, "-C", str(folder), *words)


def count_files(folder: Path) -> int:
    """How many files there are below `folder`."""
    return sum(len(files) for _, _, files in os.walk(folder))


class Tree(Piece):
    """Work on a copy of the repository."""

    group = "tree"

    @property
    def copy(self) -> Path:
        """Where the copy is."""
        return self.folder / "copy"

    def prepare(self) -> None:
        """Copy the repository where an earlier piece has not."""
        self.folder.mkdir(exist_ok=True)
        self.count = count_files(self.tree)
        if not self.copy.exists():
            self.copy_it()

    def copy_it(self) -> None:
        """`cp -r`."""
        quietly("cp", "-r", str(self.tree), str(self.copy))


class CopyTree(Tree):
    """`cp -r` of the repository into the place."""

    name, title = "cp", "cp -r (files)"

    def prepare(self) -> None:
        """Start without a copy, and read once what is to be copied."""
        self.clean(self.place)
        self.folder.mkdir()
        self.count = count_files(self.tree)
        for path in self.tree.rglob("*"):
            if path.is_file():
                path.read_bytes()

    def run(self) -> int:
        """The real cp."""
        self.copy_it()
        return self.count


class GitStatus(Tree):
    """`git status` in the copy, of which the kernel knows nothing."""

    name, title, cold = "git-status", "git status, cold (files)", True

    def prepare(self) -> None:
        """Have git note in its index what the files of the copy look like."""
        super().prepare()
        git(self.copy, "status", "--short")

    def warm(self) -> None:
        """Load git."""
        git(self.tree, "--no-optional-locks", "status", "--short")

    def run(self) -> int:
        """The real git."""
        git(self.copy, "status", "--short")
        return self.count
