"""`python -m vfs` is the command `vfs`."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn

_INTERRUPTED = 130


def program() -> NoReturn:
    """The command as a process: it ends with the exit code of `main()`, without the teardown of the interpreter.

    In that a library's own threads, such as OpenDAL's, may still let go of a Python object, and abort the process.
    """
    code = _INTERRUPTED  # nothing else ends main() in another way
    atexit.register(lambda: os._exit(code))  # the first that is registered is the last that is called
    try:
        from vfs.cli import main, output  # here, for a Ctrl-C comes as well while modules are still imported
    except KeyboardInterrupt:
        print("vfs: interrupted", file=sys.stderr)
        sys.exit(code)
    code = main()
    with suppress(Exception):  # the exit code is that of what was told before
        output.flush()
    if code == _INTERRUPTED:  # nobody waits for the threads that a library has at work
        atexit._run_exitfuncs()
    sys.exit(code)


if __name__ == "__main__":
    program()
