from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from storage.conf.sources import Found, find_files
from storage.exceptions import ImproperlyConfigured


def write(path: Path, text: str = 'MEDIA_URL = "/m/"') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def found(config: Path | None = None) -> Found:
    return find_files(config, Path.cwd())


def origins(config: Path | None = None) -> list[str]:
    return [file.origin for file in found(config).files]


def give_to_stranger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make somebody else the owner: as root really, otherwise by being somebody else ourselves."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)


def test_nothing_is_found_on_a_bare_machine(bare_machine: Path) -> None:
    assert found() == Found((), ())


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has folders of its own")
def test_the_order(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = bare_machine / "here"
    named = write(bare_machine / "named.toml")
    local = write(here / "vfs.toml")
    project = write(here / "pyproject.toml", "[tool.vfs]")
    user = write(bare_machine / "home/.config/vfs/vfs.toml")
    system = write(bare_machine / "system/vfs/vfs.toml")
    etc = write(bare_machine / "etc/vfs/vfs.toml")
    usual = [str(local), f"[tool.vfs] of {project}", str(user), str(system), str(etc)]
    assert origins() == usual
    assert origins(named) == [str(named), *usual]
    monkeypatch.setenv("VFS_CONFIG", "../named.toml")
    assert origins() == [str(here / "../named.toml"), *usual]
    other = write(bare_machine / "other.toml")
    assert origins(other) == [str(other), *usual]


@pytest.mark.skipif(sys.platform != "darwin", reason="macOS alone has these folders")
def test_the_users_folder_on_macos(bare_machine: Path) -> None:
    user = write(bare_machine / "home/Library/Application Support/vfs/vfs.toml")
    assert origins() == [str(user)]


def test_xdg_folders(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = write(bare_machine / "xdg/vfs/vfs.toml")
    first, second = (write(bare_machine / name / "vfs/vfs.toml") for name in ("one", "two"))
    write(bare_machine / "here/relative/vfs/vfs.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(bare_machine / "xdg"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"{bare_machine}/one:relative:{bare_machine}/two")
    assert origins() == [str(user), str(first), str(second)]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has folders of its own")
def test_a_relative_xdg_folder_is_ignored(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bare_machine / "here/relative/vfs/vfs.toml")
    user = write(bare_machine / "home/.config/vfs/vfs.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert origins() == [str(user)]


def test_one_file_in_two_places_is_read_once(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = write(bare_machine / "xdg/vfs/vfs.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(bare_machine / "xdg"))
    monkeypatch.chdir(user.parent)
    assert origins() == [str(user)]


def test_an_empty_variable_names_nothing(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFS_CONFIG", "")
    assert origins() == []


def test_a_named_file_must_exist(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = bare_machine / "missing.toml"
    with pytest.raises(ImproperlyConfigured) as caught:
        found(missing)
    assert str(caught.value) == f"There is no configuration file {missing}"
    monkeypatch.setenv("VFS_CONFIG", str(missing))
    with pytest.raises(ImproperlyConfigured) as caught:
        found()
    assert str(caught.value) == f"There is no configuration file {missing} (named by $VFS_CONFIG)"


def test_a_named_folder_cannot_be_read(bare_machine: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Cannot read the configuration .*: Is a directory"):
        found(bare_machine)


def test_a_mistake_in_any_file_is_said(bare_machine: Path) -> None:
    write(bare_machine / "etc/vfs/vfs.toml", "MEDIA_URL = ")
    with pytest.raises(ImproperlyConfigured, match=r"etc/vfs/vfs\.toml, line 1, column 13: "):
        found()


def test_a_pyproject_without_a_word_of_ours_may_hold_anything(bare_machine: Path) -> None:
    write(bare_machine / "here/pyproject.toml", "this is not = = TOML")
    assert found() == Found((), ())
    write(bare_machine / "here/pyproject.toml", '[project]\nname = "vfs"\n[tool.x]\nvfs = "tool.vfs"')
    assert found() == Found((), ())
    write(bare_machine / "here/pyproject.toml", "[tool.vfs\n")
    with pytest.raises(ImproperlyConfigured, match=r"pyproject\.toml, line 1, column 10: "):
        found()


@pytest.mark.parametrize(
    ("place", "text"),
    [("here/vfs.toml", ""), ("here/pyproject.toml", "[tool.vfs]"), ("xdg/vfs/vfs.toml", "")],
)
class TestTrust:
    @pytest.fixture(autouse=True)
    def _user(self, bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(bare_machine / "xdg"))

    def test_a_strangers_file_is_left_out(
        self, place: str, text: str, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(bare_machine / place, text)
        give_to_stranger(path, monkeypatch)
        files, (sentence,) = found()
        assert files == ()
        assert sentence == (
            f"{path} was left out: it belongs to user {path.stat().st_uid}, not to root or to the caller (user "
            f"{os.geteuid()}), and it names code to import; --config or $VFS_CONFIG reads it all the same"
        )
        assert len(find_files(path, Path.cwd()).files) == 1
        assert find_files(path, Path.cwd()).left_out == ()

    def test_a_strangers_mistakes_are_not_ours(
        self, place: str, text: str, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(bare_machine / place, "[tool.vfs = ]")
        give_to_stranger(path, monkeypatch)
        assert len(found().left_out) == 1

    def test_a_strangers_link_is_left_out(
        self, place: str, text: str, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can give a link away")
        path = bare_machine / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(write(bare_machine / "mine.toml", text))
        assert len(found().files) == 1
        give_to_stranger(path, monkeypatch)
        assert len(found().left_out) == 1

    @pytest.mark.parametrize("mode", [0o646, 0o666])
    def test_a_file_that_all_may_write_is_left_out(self, place: str, text: str, bare_machine: Path, mode: int) -> None:
        path = write(bare_machine / place, text)
        path.chmod(mode)
        files, (sentence,) = found()
        assert files == ()
        assert sentence.startswith(f"{path} was left out: others may write to it (mode {mode:04o}), and ")

    def test_a_group_may_write_if_it_is_the_callers_own(
        self, place: str, text: str, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(bare_machine / place, text)
        os.chown(path, -1, os.getegid())
        path.chmod(0o664)
        assert len(found().files) == 1
        if os.geteuid() == 0:
            os.chown(path, -1, 12345)
        else:
            monkeypatch.setattr(os, "getegid", lambda: 12345)
        assert len(found().left_out) == 1


def test_roots_file_is_read(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(bare_machine / "here/vfs.toml")
    if path.stat().st_uid != 0:
        pytest.skip("only root has a file of root's to show")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert len(found().files) == 1


def test_a_strangers_pyproject_without_a_word_of_ours_is_not_worth_a_word(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_to_stranger(write(bare_machine / "here/pyproject.toml", '[project]\nname = "vfs"'), monkeypatch)
    assert found() == Found((), ())


def test_what_cannot_be_opened_is_left_out(bare_machine: Path) -> None:
    path = bare_machine / "here/vfs.toml"
    path.symlink_to(path)
    files, (sentence,) = found()
    assert files == ()
    assert sentence.startswith(f"{path} was left out: Too many levels of symbolic links")


def test_what_is_no_file_is_not_waited_for(bare_machine: Path) -> None:
    os.mkfifo(bare_machine / "here/vfs.toml")
    (bare_machine / "here/pyproject.toml").mkdir()
    assert found() == Found((), ())


def test_a_home_that_is_a_file_holds_nothing(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(write(bare_machine / "file")))
    assert found() == Found((), ())


def test_a_removed_current_folder_has_no_files(bare_machine: Path) -> None:
    write(bare_machine / "etc/vfs/vfs.toml")
    assert len(find_files(None, None).files) == 1
