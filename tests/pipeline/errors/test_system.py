"""Which errors may pass, whoever raised them."""

from __future__ import annotations

import errno
import os
import sqlite3
import ssl

import pytest
import tensorflow as tf

from pipeline.errors import UserError
from pipeline.errors.system import MAY_PASS, may_pass


@pytest.mark.parametrize("number", sorted(MAY_PASS))
def test_a_number_of_the_system_decides_through_all_that_was_made_of_it(number: int) -> None:
    first = OSError(number, os.strerror(number), "file")
    assert may_pass(first)
    second, third = OSError("of a library"), UserError("what a person reads")
    second.__cause__, third.__cause__ = first, second
    assert may_pass(third)


def test_tensorflow_may_say_more_after_the_words_of_the_system() -> None:
    message = "events; No space left on device\n\tFailed to flush 11 events\n\tCould not [Op:X]"
    assert may_pass(tf.errors.ResourceExhaustedError(None, None, message))


class AsSqlalchemyWrapsIt(RuntimeError):
    orig: Exception


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_READONLY, True),
        (sqlite3.SQLITE_ERROR, False),
    ],
)
def test_a_database_on_a_full_disk_may_pass(code: int, passes: bool) -> None:
    error = sqlite3.OperationalError("so")
    error.sqlite_errorcode = code
    wrapped = AsSqlalchemyWrapsIt()
    wrapped.orig = error
    assert may_pass(error) == may_pass(wrapped) == passes


@pytest.mark.parametrize(
    "error",
    [
        UserError("No space left on device"),
        OSError("No space left on device"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        ssl.SSLError(ssl.SSL_ERROR_SYSCALL, "of the number of EIO"),
        tf.errors.NotFoundError(None, None, "file; No such file or directory"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
    ],
)
def test_other_errors_do_not(error: Exception) -> None:
    assert not may_pass(error)


def test_a_full_disk_of_tensorflow_does() -> None:
    with pytest.raises(tf.errors.OpError) as caught:
        tf.io.write_file("/dev/full", "more")
    assert may_pass(caught.value)
    with pytest.raises(tf.errors.OpError) as caught:
        tf.io.write_file("/dev/null/file", "more")
    assert not may_pass(caught.value)
