"""A mount that outlives the command: the process in the background, its readiness, its signals and its log.

The command forks twice and waits on a pipe. The daemon mounts, sees the mount answer, and writes one line of JSON:
its record or what went wrong. SIGTERM, SIGINT and SIGHUP drain and unmount; a mount that is in use is taken out of
the tree at once and served until its last user has gone or `DRAIN_SECONDS` are over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import json
import logging
import logging.handlers
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage.exceptions import ImproperlyConfigured
from vfs.mounting import Mount
from vfs.mountpoint import absolute, prepare
from vfs.options import MountOptions, describe
from vfs.records import ControlSocket, Record
from vfs.transports.base import MountError

logger = logging.getLogger("vfs")

DRAIN_SECONDS = 30.0
"""How long a daemon that was told to end goes on for those who have files open."""
OPEN_FILES = 1 << 20
"""How many descriptors a daemon allows itself, as far as the system does."""
COLLECT_AFTER = (50_000, 20, 100)
"""Thresholds of the collector of cycles, of which a mount makes none: with a million files a search takes a second."""
_END = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_ENDED = signal.SIGUSR1
"""What the serving thread sends to the main one when somebody else has unmounted."""
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start(
    alias: str, mountpoint: Path, options: MountOptions, transport: str = "auto", foreground: bool = False
) -> Record:
    """Mount what `alias` names in a process of its own, and return when the mount answers.

    With `foreground` this process serves it, logging to stderr, and returns when the mount has ended. MountError and
    ImproperlyConfigured say what is wrong, before anything was changed. The storage is made in the process that uses
    it: connections and threads do not survive a fork.
    """
    mountpoint = absolute(mountpoint)
    if foreground:
        logging.basicConfig(format=_FORMAT, level=logging.INFO)
        return _serve(Mount(alias, mountpoint, options, transport), alias, "", lambda record: None)
    prepare(mountpoint)
    log = log_file(mountpoint)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _run(lambda: Mount(alias, mountpoint, options, transport), alias, log, write)
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


def log_file(mountpoint: Path) -> Path:
    """Where the daemon of `mountpoint` logs."""
    if os.geteuid() == 0:
        folder = Path("/var/log/vfs")
    else:
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vfs" / "log"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = os.fsencode(mountpoint).strip(b"/").replace(b"/", b"-")[-200:]  # the end of a long path tells more
    return folder / f"{os.fsdecode(name) or 'root'}.log"


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
    handler = logging.handlers.WatchedFileHandler(log)
    handler.setFormatter(logging.Formatter(_FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def _run(make: Callable[[], Mount], alias: str, log: Path, pipe: int) -> None:
    """In the first child: become the daemon and serve to the end; never returns into the command's code."""
    code, told = 1, False

    def tell(answer: dict[str, Any]) -> None:
        nonlocal told
        if not told:
            os.write(pipe, json.dumps(answer).encode())
            os.close(pipe)
        told = True

    try:
        _become_daemon(log)
        mount = make()
        os.chdir("/")
        _serve(mount, alias, str(log), lambda record: tell(dataclasses.asdict(record)))
        code = 0
    except (MountError, ImproperlyConfigured) as error:
        tell({"error": str(error)})
    except OSError as error:
        logger.exception("the daemon ended with an error")
        tell({"error": f"{alias} cannot be reached: {error}; the log is {log}"})
    except BaseException:
        logger.exception("the daemon ended with an error")
    finally:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


def _allow_many_files() -> None:
    """Raise the soft limit of descriptors: each open file of a mount, and each large one in memory, takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _serve(mount: Mount, alias: str, log: str, ready: Callable[[Record], None]) -> Record:
    """Mount, tell `ready`, serve until a signal or an unmount from outside, and drain."""
    import psutil

    _allow_many_files()
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_END, _ENDED})
    main = threading.main_thread().ident
    assert main is not None
    mount.start()
    gc.freeze()  # what was imported stays; the collector need not look at it again and again
    gc.set_threshold(*COLLECT_AFTER)
    record = Record(
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        alias=alias,
        backend=_backend(mount),
        mountpoint=str(mount.mountpoint),
        transport=mount.transport.name,
        options=describe(mount.options),
        log=log,
        started=time.time(),
    )
    control = ControlSocket(record.socket, {"status": lambda: status(mount), "drain": lambda: drain(mount)})
    record.write()
    logger.info("mounted %s at %s", alias, mount.mountpoint)
    ready(record)
    threading.Thread(target=_tell_end, args=(mount, main), daemon=True).start()
    try:
        received = signal.sigwait({*_END, _ENDED})
        if received in _END:
            logger.info("%s: draining", signal.Signals(received).name)
            _end(mount)
        mount.wait(DRAIN_SECONDS)
    finally:
        control.close()
        record.remove()
    logger.info("unmounted %s", mount.mountpoint)
    return record


def _tell_end(mount: Mount, main: int) -> None:
    mount.wait()
    signal.pthread_kill(main, _ENDED)


def _end(mount: Mount) -> None:
    """Drain and unmount; a mount in use is served on for a while, out of the tree."""
    for name in mount.filesystem.drain():
        logger.error("not stored: %r", name)
    mount.unmount(wait=DRAIN_SECONDS, lazy=True)
    if not mount.wait(DRAIN_SECONDS):
        logger.warning("files are still open after %.0f s; the mount is aborted", DRAIN_SECONDS)
        mount.abort()


def _backend(mount: Mount) -> str:
    storage = getattr(mount.storage, "wrapped", mount.storage)
    return f"{type(storage).__module__}.{type(storage).__qualname__}"


def status(mount: Mount) -> dict[str, Any]:
    """What `vfs status` shows of a running mount."""
    filesystem, transport = mount.filesystem, mount.transport
    return {
        "pending": [filesystem.tree.path(node) for node in filesystem.pending()],
        "open_files": filesystem.open_files(),
        "nodes": len(filesystem.tree),
        "operations": dict(transport.counts),
        "errors": {errno.errorcode.get(code, str(code)): count for code, count in transport.errors.items()},
    }


def drain(mount: Mount) -> dict[str, Any]:
    """Store what is pending; the names that could not be."""
    return {"failed": mount.filesystem.drain()}
