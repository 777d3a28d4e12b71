"""A process that ends with its parent, also where that has ended before it could ask for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from unittest import mock

from pipeline.orchestration.parent_process import die_with_parent


def test_a_process_whose_parent_has_ended_meanwhile_does_not_begin() -> None:
    begins = [sys.executable, "-c", "print('begun')"]
    here = die_with_parent(signal.SIGTERM)
    assert subprocess.run(begins, preexec_fn=here, capture_output=True, check=True).stdout
    with mock.patch.object(os, "getpid", return_value=1):
        of_another = die_with_parent(signal.SIGTERM)
    orphan = subprocess.run(begins, preexec_fn=of_another, capture_output=True, check=False)
    assert (orphan.returncode, orphan.stdout) == (128 + signal.SIGTERM, b"")
