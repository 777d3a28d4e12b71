"""Ask `server.py` for a program and end as it does: a stand-in for the Python interpreter.

It passes on arguments, environment, folder, open files, which signals are blocked or ignored, and
signals themselves, and has the exit status of the program, or ends by the same signal. What only a
new interpreter can do goes to a real one.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def needs_a_new_one(arguments: list[str]) -> bool:
    """Tell whether a fork could not do it: another Keras backend, or options of the interpreter."""
    first = next((each for each in arguments if each != "-u"), "-")
    other_option = first.startswith("-") and first not in ("-m", "-c")
    return other_option or os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"


def main(path: str) -> None:
    """Have the program run that the command line names.

    Args:
        path: Socket on which `server.py` listens.
    """
    executable, *arguments = sys.argv
    if needs_a_new_one(arguments):
        os.execv(sys.executable, [sys.executable, *arguments])
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "executable": executable,
        "blocked": [int(each) for each in blocked],
        "ignored": [int(each) for each in FORWARDED if signal.getsignal(each) == signal.SIG_IGN],
    }
    content = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(server, [content], [0, 1, 2])
    server.sendall(content[sent:])
    answers = server.makefile("r")
    answers.readline()  # The process is there, and can get signals.
    # A pipe must end with the program, although this process lives a moment longer.
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)

    def forward(number: int, _: object) -> None:
        with suppress(OSError):  # It has just ended.
            server.sendall(bytes([number]))

    for number in FORWARDED:
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    status = int(answers.readline() or -signal.SIGKILL)
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
