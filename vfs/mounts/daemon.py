"""A mount that outlives the command: the process in the background, its readiness, its signals and its log.

The command forks twice and waits on a pipe. The daemon mounts, sees the mount answer, and writes one line of JSON:
its record or what went wrong. SIGTERM and SIGINT drain and unmount; a mount that is in use is taken out of the tree at
once and served until its last user has gone or `OPEN_SECONDS` are over; `LAST_SECONDS` where the storage has not taken
all by then. SIGHUP reads the configuration again (vfs.mounts.reloading), but ends what is in the foreground of a
terminal, which has gone then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import logging.handlers
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from storage.backends import path_of
from storage.exceptions import ImproperlyConfigured
from storage.remote.secrets import secrets_of
from vfs.guard import is_outage
from vfs.mounts import resources
from vfs.mounts.control import Answer, ControlSocket
from vfs.mounts.mounting import Mount
from vfs.mounts.mountpoint import MountError, absolute, prepare
from vfs.mounts.options import MountOptions, OptionError, describe
from vfs.mounts.records import Record, runtime_folder
from vfs.mounts.reloading import Reloader, Said
from vfs.mounts.service import ServiceManager
from vfs.watch.logs import LOG
from vfs.watch.status import metrics, status

logger = logging.getLogger("vfs")

OPEN_SECONDS = 30.0
"""How long a daemon that was told to end goes on for those who have files open."""
LAST_SECONDS = 5.0
"""How long it waits, after that, for what was closed last to be stored; and for users of a storage that is gone."""
_END = {signal.SIGTERM, signal.SIGINT}
_ENDED = signal.SIGUSR1
"""What the serving thread sends to the main one when somebody else has unmounted."""
_WAITED_FOR = {*_END, signal.SIGHUP, _ENDED}


def start(said: Said, mountpoint: Path, transport: str = "auto", foreground: bool = False) -> Record:
    """Mount in a process of its own what `said` names, and return when the mount answers.

    With `foreground` this process serves it, logging to stderr, and returns when the mount has ended. MountError and
    ImproperlyConfigured say what is wrong, before anything was changed. The storage is made in the process that uses
    it: connections and threads do not survive a fork.
    """
    mountpoint = absolute(mountpoint)
    options = said.options()
    _see_to_records()
    manager = ServiceManager.of_environment()  # not inherited either by what is none of its processes
    if foreground:
        _keep_signals()
        _log_to(logging.StreamHandler(), said.alias, mountpoint, options, replaces=False)
        return _serve(Mount(said.alias, mountpoint, options, transport), said, manager=manager)
    prepare(mountpoint)
    log = log_file(mountpoint)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)

        def make() -> Mount:
            _log_to(logging.handlers.WatchedFileHandler(log), said.alias, mountpoint, options)
            return Mount(said.alias, mountpoint, options, transport)

        _run(make, said, log, write)
    os.close(write)
    os.waitpid(child, 0)
    with open(read, encoding="utf-8") as pipe:
        words = pipe.read()
    if not words:
        raise MountError(f"the daemon ended before the mount answered; its log is {log}")
    answer = json.loads(words)
    if "error" in answer:
        raise MountError(answer["error"])
    return Record(**answer)


def _see_to_records() -> None:
    """MountError where no record of a mount can be kept: of that nobody would know who serves it."""
    try:
        runtime_folder()
    except OSError as error:
        raise MountError(f"the records of mounts cannot be kept in {error.filename!r}: {error.strerror}") from error


def log_file(mountpoint: Path) -> Path:
    """Where the daemon of `mountpoint` logs."""
    if os.geteuid() == 0:
        folder = Path("/var/log/vfs")
    else:
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vfs" / "log"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = os.fsencode(mountpoint).strip(b"/").replace(b"/", b"-")[-200:]  # the end of a long path tells more
    return folder / f"{os.fsdecode(name) or 'root'}.log"


def _log_to(
    handler: logging.Handler, alias: str, mountpoint: Path, options: MountOptions, *, replaces: bool = True
) -> None:
    from storage import storages

    secrets = secrets_of(storages.backends.get(alias, {}).get("OPTIONS"))
    about = {"alias": alias, "mount": str(mountpoint)}
    LOG.begin(handler, options.log_format, options.log_level, secrets=secrets, replaces=replaces, **about)


def _become_daemon(log: Path) -> None:
    """In the first child: leave the session and the terminal, and go on in a child of its own.

    It lets go of the descriptors that were handed down to the command, such as a lock of the script that called it.
    """
    os.setsid()
    if os.fork():
        os._exit(0)
    os.umask(0o022)
    for number in range(3, 256):  # a listing of them is not to be had on every system
        with contextlib.suppress(OSError):  # not open
            if os.get_inheritable(number):
                os.close(number)
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, null), (1, output), (2, output)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)


class _Waiting:
    """The command that waits, at the other end of a pipe, until it is told how it went; once."""

    def __init__(self, pipe: int) -> None:
        """The end of the pipe to write to."""
        self._pipe: int | None = pipe

    def tell(self, answer: dict[str, Any]) -> bool:
        """Say it; False when nobody waits: it was told before, or has been interrupted."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return False
        try:
            os.write(pipe, json.dumps(answer).encode())
        except BrokenPipeError:
            return False
        finally:
            os.close(pipe)
        return True


def _run(make: Callable[[], Mount], said: Said, log: Path, pipe: int) -> None:
    """In the first child: become the daemon and serve to the end; never returns into the command's code."""
    code, waiting = 1, _Waiting(pipe)

    def ready(record: Record) -> None:
        if not waiting.tell(dataclasses.asdict(record)):
            raise MountError("nobody waits for the mount any more: the command was interrupted")

    try:
        _become_daemon(log)
        _keep_signals()
        mount = make()
        os.chdir("/")
        _serve(mount, said, str(log), ready=ready)
        code = 0
    except (MountError, ImproperlyConfigured) as error:
        if not waiting.tell({"error": str(error)}):
            logger.error("%s", error)
    except OSError as error:
        logger.exception("the daemon ended with an error")
        what = "be reached" if is_outage(error) else "be mounted"
        waiting.tell({"error": f"{said.alias} cannot {what}: {error}; the log is {log}"})
    except BaseException:
        logger.exception("the daemon ended with an error")
    finally:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


def _keep_signals() -> None:
    """Have signals wait for `_last_signal()`, Ctrl-C apart, which ends a mount that is only being made.

    Before there are other threads, as they inherit it: by what one of them does not block the system may end the
    process, or have nobody hear of it where this is the first process of a container.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR - {signal.SIGINT})


def _keep_interrupts() -> None:
    """Have Ctrl-C wait too; one that a thread from before has heard is nothing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, lambda *_: None)


def _serve(
    mount: Mount,
    said: Said,
    log: str = "",
    *,
    ready: Callable[[Record], None] = lambda record: None,
    manager: ServiceManager | None = None,
) -> Record:
    """Mount, and serve to the end; whatever goes wrong on the way, no dead mount is left."""
    resources.allow_many_files()
    resources.share_memory()
    _keep_interrupts()
    mount.start()
    try:
        resources.collect_seldom()
        return _serve_mounted(mount, said, log, ready, manager or ServiceManager())
    except BaseException:
        mount.abort()
        mount.wait(LAST_SECONDS)
        raise


def _serve_mounted(
    mount: Mount, said: Said, log: str, ready: Callable[[Record], None], manager: ServiceManager
) -> Record:
    """Tell `ready` and the service manager, serve until a signal or an unmount from outside, and drain."""
    record = _record(mount, said.alias, log)
    status = f"{said.alias} at {mount.mountpoint}"
    reload = partial(_reload, Reloader(mount, said), record, manager, status)
    control = ControlSocket(record.socket, {**commands(mount), "reload": reload})
    try:
        record.write()
        logger.info("mounted %s", status)
        ready(record)
        manager.ready(status)
        threading.Thread(target=_tell_end, args=(mount, threading.main_thread()), daemon=True).start()
        patience = OPEN_SECONDS
        received = _last_signal(reload, ends_with_its_terminal=not log and os.isatty(0))
        with manager.stopping(lambda: _what_is_left(mount)):
            if received != _ENDED:
                logger.info("%s: draining", signal.Signals(received).name)
                patience = _end(mount)
            if not mount.wait(patience):
                logger.error("the mount does not come to its end; what was closed is in the spool")
    finally:
        control.close()
        record.remove()
    if mount.was_cut_off:
        raise MountError(f"the mount at {str(mount.mountpoint)!r} was cut off, and is gone")
    logger.info("unmounted %s", mount.mountpoint)
    return record


def _record(mount: Mount, alias: str, log: str) -> Record:
    """What others find of the mount that this process serves."""
    import psutil

    return Record(
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        alias=alias,
        backend=path_of(mount.storage),
        mountpoint=str(mount.mountpoint),
        transport=mount.transport.name,
        options=describe(mount.options),
        log=log,
        started=time.time(),
    )


def _last_signal(reload: Callable[[], object], *, ends_with_its_terminal: bool) -> int:
    """Wait for a signal to end, and `reload` for each SIGHUP until then."""
    while True:
        received = signal.sigwait(_WAITED_FOR)
        if received != signal.SIGHUP or ends_with_its_terminal:
            return received
        with contextlib.suppress(Exception):  # the log says it, and the mount goes on
            reload()


def _reload(reloader: Reloader, record: Record, manager: ServiceManager, status: str) -> dict[str, Any]:
    """Read the configuration again; OSError (EINVAL) for one that is wrong, which changes nothing."""
    manager.reloading()
    try:
        found = reloader.reload()
        dataclasses.replace(record, options=describe(reloader.options)).write()
    except (ImproperlyConfigured, OptionError) as error:
        logger.error("not reloaded, and all is as it was: %s", error)
        raise OSError(errno.EINVAL, str(error)) from error
    except Exception:
        logger.exception("not reloaded")
        raise
    finally:
        manager.ready(status)
    return dataclasses.asdict(found)


def _tell_end(mount: Mount, main: threading.Thread) -> None:
    mount.wait()
    assert main.ident is not None
    signal.pthread_kill(main.ident, _ENDED)


def _end(mount: Mount) -> float:
    """Drain and unmount; a mount in use is served on for a while, out of the tree.

    Returns for how many seconds more its last threads are to be waited for. Where the storage has not taken all in its
    time there is no sense in waiting for users who wait for the storage.
    """
    unsaved = mount.drain(mount.drain_seconds)
    patience = LAST_SECONDS if unsaved else OPEN_SECONDS
    mount.drain_seconds = 0.0 if unsaved else min(mount.drain_seconds, LAST_SECONDS)
    mount.unmount(wait=patience, lazy=True)
    if not mount.wait(0):
        logger.warning("files are still open after %.0f s; the mount is aborted", patience)
        mount.abort()
        mount.let_go()
    return patience


def _what_is_left(mount: Mount) -> str:
    sizes = [line["bytes"] for line in mount.filesystem.contents.uploads.report()]
    return f"Storing what is pending: {len(sizes)} files, {sum(sizes)} bytes" if sizes else "Unmounting"


def commands(mount: Mount) -> dict[str, Answer]:
    """What the daemon of `mount` can be asked, over the channel that vfs.mounts.control describes."""
    return {
        "status": lambda: status(mount),
        "metrics": lambda: metrics(mount),
        "log": LOG.change,
        "trace": mount.transport.tracing.follow,
        "drain": lambda seconds=None: drain(mount, seconds),
        "flush": mount.filesystem.contents.uploads.flush,
        "refresh": lambda path: {"forgotten": mount.refresh(path)},
    }


def drain(mount: Mount, seconds: float | None = None) -> dict[str, Any]:
    """Store what is pending; the names that could not be. After `seconds` the end of the mount need not wait again."""
    failed = mount.drain(seconds)
    if seconds is not None:
        mount.drain_seconds = min(seconds, LAST_SECONDS)
    return {"failed": failed}
