"""Run Django's own tests of files and storages against this package; a program, for a process of its own.

    python django_shim.py DJANGO_SOURCE < tests-or-classes-to-leave-out > outcomes

There is no Django in the process. The modules that the tests import under Django's names are, in this order:

- ours, where the package has the same (`_OURS`);
- Django's own source, unpacked in DJANGO_SOURCE, for things around storages: uploaded files, time zones (`_THEIRS`);
- a few stand-ins for Django's test cases, URLs and model fields, enough for the test modules to be imported.

Each outcome is one line of JSON: the test's name, "passed", "failed", "skipped" or "left out", and the details.
"""

from __future__ import annotations

import contextlib
import http.server
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
import time
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import storage
from storage import base, conf, exceptions, files, filesystem, handler, locks, memory, mixins, move, names, temp

TEST_MODULES = (
    "files.tests",
    "file_storage.tests",
    "file_storage.test_base",
    "file_storage.test_generate_filename",
    "file_storage.test_inmemory_storage",
)

_OURS: dict[str, Any] = {
    "django.core.exceptions": exceptions,
    "django.core.files.base": files,
    "django.core.files.locks": locks,
    "django.core.files.move": move,
    "django.core.files.storage": storage,
    "django.core.files.storage.base": base,
    "django.core.files.storage.filesystem": filesystem,
    "django.core.files.storage.handler": handler,
    "django.core.files.storage.memory": memory,
    "django.core.files.storage.mixins": mixins,
    "django.core.files.temp": temp,
    "django.core.files.utils": names,
}
_THEIRS = ("django.core.files.uploadedfile", "django.utils._os", "django.utils.functional", "django.utils.timezone")
_ALIASES = {"DEFAULT_STORAGE_ALIAS": "default", "STATICFILES_STORAGE_ALIAS": "staticfiles"}
_PACKAGES = ("django", "django.core", "django.db", "django.db.models", "django.db.models.fields", "django.utils")


def module(name: str, **attributes: Any) -> types.ModuleType:
    """Make a module that can be imported as `name`."""
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package="__path__" in attributes)
    made.__dict__.update(attributes)
    sys.modules[name] = made
    return made


class SimpleTestCase(unittest.TestCase):
    """What the tests use of Django's class of this name."""

    def settings(self, **values: Any) -> conf.override_settings:
        return conf.override_settings(**values)

    @contextlib.contextmanager
    def assertRaisesMessage(self, kind: type[BaseException], message: str) -> Iterator[None]:  # noqa: N802
        with self.assertRaises(kind) as context:  # noqa: PT027  it runs under unittest
            yield
        assert message in str(context.exception), f"{message!r} not found in {str(context.exception)!r}"


class _ExampleView(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"example view")

    def log_message(self, format: str, *args: Any) -> None:
        pass


class LiveServerTestCase(SimpleTestCase):
    """A case with a web server, which has one page."""

    live_server_url: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _ExampleView)
        cls.live_server_url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(thread.join)
        cls.addClassCleanup(server.shutdown)


class NoReverseMatch(Exception):  # noqa: N818  Django's name
    """There is no URL of a name, as no URLs are configured."""


class ModelField:
    """Keeps what a model's field was made with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)


def install(source: Path) -> None:
    """Put everything in place that the test modules import."""
    for name in _PACKAGES:
        module(name, __path__=[])
    package = module("django.core.files", __path__=[], File=files.File)
    for name, ours in _OURS.items():
        sys.modules[name] = ours
        if name.startswith("django.core.files."):
            setattr(package, name.rpartition(".")[2], ours)
    sys.modules["django"].core = sys.modules["django.core"]  # type: ignore[attr-defined]
    sys.modules["django.core"].files = package  # type: ignore[attr-defined]
    module("django.conf", settings=conf.settings, **_ALIASES)
    module("asgiref", __path__=[])
    module("asgiref.local", Local=lambda: threading.local())
    for name in _THEIRS:
        load(name, source)
    install_stand_ins()
    sys.modules["PIL"] = None  # type: ignore[assignment]  # images are no part of this package
    sys.path.insert(0, str(source / "tests"))


def load(name: str, source: Path) -> None:
    """Import a module of Django's source under its own name."""
    path = source / Path(*name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    parent, _, last = name.rpartition(".")
    setattr(sys.modules[parent], last, loaded)


def install_stand_ins() -> None:
    """The modules of which the tests only need a shadow."""
    functional = sys.modules["django.utils.functional"]

    def reverse(viewname: str) -> str:
        raise NoReverseMatch(viewname)

    module("django.urls", NoReverseMatch=NoReverseMatch, reverse_lazy=functional.lazy(reverse, str))
    module("django.core.cache", cache={})
    models = sys.modules["django.db.models"]
    models.__dict__.update(Model=object, FileField=ModelField, Value=ModelField, F=ModelField)
    sys.modules["django.db"].models = models  # type: ignore[attr-defined]
    module("django.db.models.fields.files", FileDescriptor=object)
    module("django.db.models.functions", Concat=ModelField)
    module(
        "django.test",
        __path__=[],
        LiveServerTestCase=LiveServerTestCase,
        SimpleTestCase=SimpleTestCase,
        TestCase=SimpleTestCase,
        override_settings=conf.override_settings,
    )
    module("django.test.utils", requires_tz_support=unittest.skipUnless(hasattr(time, "tzset"), "needs tzset()"))


def follow_time_zone(*, setting: str, value: Any, **_: Any) -> None:
    """Django moves the whole process to the zone in TIME_ZONE, which the tests of times rely on."""
    if setting == "TIME_ZONE":
        os.environ["TZ"] = value
        time.tzset()
        sys.modules["django.utils.timezone"].get_default_timezone.cache_clear()


def tests_of(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The single tests of a suite."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


class Outcomes(unittest.TestResult):
    """Prints each outcome as it comes; a test with subtests fails as one."""

    def report(self, test: unittest.TestCase, outcome: str, details: str = "") -> None:
        print(json.dumps([test.id(), outcome, details]), file=sys.__stdout__, flush=True)

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self.report(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        self.report(test, "failed", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    addFailure = addError  # noqa: N815  unittest's name

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
        if err is not None:
            self.report(test, "failed", f"{subtest.id()}\n{self._exc_info_to_string(err, test)}")  # type: ignore[attr-defined]

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self.report(test, "skipped", reason)


def main() -> None:
    """Run the tests that standard input does not name."""
    left_out = set(sys.stdin.read().split())
    install(Path(sys.argv[1]))
    conf.setting_changed.connect(follow_time_zone)
    conf.settings.configure(USE_TZ=False, TIME_ZONE="America/Chicago")  # as Django's own test runner does
    suite = unittest.defaultTestLoader.loadTestsFromNames(TEST_MODULES)
    # From here on only the package itself looks, and is to see a Django that nobody has set up.
    module("django.conf", settings=types.SimpleNamespace(configured=False, configure=lambda **_: None))
    chosen = unittest.TestSuite()
    outcomes = Outcomes()
    for test in tests_of(suite):
        if test.id() in left_out or test.id().rpartition(".")[0] in left_out:
            outcomes.report(test, "left out")
        else:
            chosen.addTest(test)
    chosen.run(outcomes)


if __name__ == "__main__":
    main()
