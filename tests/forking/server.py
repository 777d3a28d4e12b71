"""Become Python programs of this project in forks of one process that has imported TensorFlow.

    python tests/forking/server.py SOCKET

TensorFlow and the modules of this project take five to ten seconds to import. This process imports
them once, computes nothing, and then forks a child for each program that `interpreter.py` asks for
over the Unix socket SOCKET. The child takes over the arguments, environment, folder and open files
of the asking process, which gets its exit status.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import pkgutil
import random
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

UNWANTED = ("__main__", "code_location", "beam")
"""Ends of the names of modules that do work when imported, or are seldom needed and slow."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Request:
    """Program to become.

    Attributes:
        arguments: What follows the interpreter on the command line.
        environment: All environment variables.
        folder: Current directory.
        executable: The stand-in that asked, for programs that this one starts.
        blocked: Numbers of the signals that were blocked when that was started.
        ignored: Numbers of those that were ignored.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    executable: str
    blocked: list[int]
    ignored: list[int]


def preload() -> None:
    """Import TensorFlow and every module of this project."""
    importlib.import_module("tensorflow")
    for package in map(importlib.import_module, ("layers", "savedmodels", "pipeline")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(UNWANTED):
                importlib.import_module(module.name)


def serve(listener: socket.socket) -> Request:
    """Fork a child for each connection; return in that child, and never in this process."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    clients: dict[int, tuple[socket.socket, int]] = {}  # by the descriptor of a child's end
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                client, _ = listener.accept()
                content, files, *_ = socket.recv_fds(client, 2**20, 3)
                while not content.endswith(b"\n") and (more := client.recv(2**20)):
                    content += more
                if not content.endswith(b"\n"):  # The asking process was killed.
                    for file in files:
                        os.close(file)
                    client.close()
                    continue
                child = os.fork()
                if not child:
                    selector.close()
                    listener.close()
                    client.close()
                    for number, file in enumerate(files):
                        os.dup2(file, number)
                        os.close(file)
                    return Request(**json.loads(content))
                for file in files:
                    os.close(file)
                with suppress(OSError):  # Killed in the meantime: its end is seen below.
                    client.sendall(b"%d\n" % child)
                end = os.pidfd_open(child)
                clients[end] = client, child
                selector.register(end, selectors.EVENT_READ, ("ended", end))
                selector.register(client, selectors.EVENT_READ, ("asked", end))
                continue
            what, end = key.data
            if key.fd not in selector.get_map() or selector.get_key(key.fd) != key:
                continue  # An event before this one has ended it.
            client, child = clients[end]
            if what == "asked":
                try:
                    numbers = client.recv(64)
                except ConnectionResetError:
                    numbers = b""
                for number in numbers:
                    os.kill(child, number)
                if not numbers:  # The asking process was killed, and so is its child.
                    os.kill(child, signal.SIGKILL)
                    selector.unregister(client)
                continue
            _, status = os.waitpid(child, 0)
            with suppress(OSError):  # The asking process may have been killed.
                client.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            selector.unregister(end)
            if client in selector.get_map():
                selector.unregister(client)
            client.close()
            os.close(end)
            del clients[end]


def take_over(request: Request) -> None:
    """Make the surroundings of the asking process those of this one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)
    for number in request.ignored:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    random.seed()
    unbuffered = "-u" in request.arguments[:1] or bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0)  # noqa: SIM115
    out = open(1, "wb", buffering=0 if unbuffered else -1)  # noqa: SIM115
    err = open(2, "wb", buffering=0)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(out, write_through=unbuffered)
    sys.stderr = io.TextIOWrapper(err, errors="backslashreplace", write_through=True)
    sys.executable = request.executable


def run(arguments: list[str], folder: str) -> None:
    """Run a program as a new interpreter does with these arguments."""
    kind, *rest = arguments
    if kind == "-m":
        sys.argv, sys.path[0] = ["-m", *rest[1:]], folder
        sys.modules.pop(rest[0], None)  # so that it runs, although it was imported
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    else:
        sys.argv, sys.path[0] = arguments, str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


def become(request: Request) -> NoReturn:
    """Run a program and end with its status, without the seconds that tidying up memory takes."""
    take_over(request)
    status: int | str | None = 1
    try:
        run([each for each in request.arguments if each != "-u"], request.folder)
        status = 0
    except SystemExit as error:
        status = error.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
    except KeyboardInterrupt:
        status = -signal.SIGINT
        traceback.print_exc()
    except BaseException:
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status if isinstance(status, int) else int(status is not None))


def main() -> None:
    """Listen until killed."""
    path: Any = sys.argv[1]
    sys.path.insert(0, str(Path(__file__).parents[2]))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(64)
    preload()
    gc.freeze()  # No child looks through what all share, and so copies it.
    os.rename(f"{path}.new", path)
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads: those of libraries, which hold no lock here.
        warnings.simplefilter("ignore", DeprecationWarning)
        request = serve(listener)
    become(request)


if __name__ == "__main__":
    main()
