"""kubectl as a subprocess.

It is what operators have set up for their clusters: contexts, log-ins by plugins, proxies and
certificates come with it, and all that is asked here can be asked again by hand. The client for
Python would be a dependency of its own, and would have to be told of each of them.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.orchestration.job import KubernetesConfig, Manifest

PATIENCE_WITH_ONE_ANSWER = 30.0
"""Seconds."""
_MISTAKE = re.compile(
    r"\((?:Forbidden|Unauthorized|NotFound|Invalid|BadRequest)\)"
    r"| is invalid: |Error in configuration: "
)
"""In what kubectl complains of: this has to be mended by somebody. All else may pass."""


class NoAnswer(Exception):
    """The cluster has not done what was asked, and may do so later."""


@dataclass(frozen=True)
class Kubectl:
    """Calls of kubectl.

    Args:
        config: Cluster, and the place in it.
    """

    config: KubernetesConfig

    def __call__(self, *words: str, given: Manifest | None = None, seconds: float = 0) -> str:
        """Run `kubectl …` and return its output.

        Args:
            words: Words of the command.
            given: A manifest on its standard input.
            seconds: Seconds that it may take beyond those of a usual answer.

        Raises:
            UserError: if there is no such program, or the cluster refuses.
            NoAnswer: if there is no answer, or another one may come later.
        """
        command = [self.config.kubectl, *self._where(), *words]
        try:
            done = subprocess.run(
                command,
                input=b"" if given is None else json.dumps(given).encode(),
                capture_output=True,
                timeout=PATIENCE_WITH_ONE_ANSWER + seconds,
                check=False,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise UserError(
                "`training.kubernetes.kubectl` must be a program that can be started. "
                f"Received: {self.config.kubectl}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise NoAnswer(
                f"the cluster must answer `kubectl {words[0]}` in {error.timeout:g} s. "
                "Received: nothing"
            ) from error
        # What pods write may be any bytes.
        answer, complaint = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        if done.returncode == 0:
            return answer
        # What it tried comes before what came of it.
        said = [line for line in complaint.splitlines() if line.strip()] or ["nothing"]
        reason = f"the cluster must do `kubectl {words[0]}`. Received: {said[-1]}"
        if _MISTAKE.search(said[-1]):
            raise UserError(reason)
        raise NoAnswer(reason)

    def _where(self) -> Sequence[str]:
        given = {"--context": self.config.context, "--namespace": self.config.namespace}
        return [word for key, value in given.items() if value is not None for word in (key, value)]
