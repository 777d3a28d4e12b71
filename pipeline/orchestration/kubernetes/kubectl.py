"""Call kubectl as a subprocess.

Operators have set up kubectl for their clusters, with contexts, login plugins, proxies and
certificates, and can repeat every call by hand. The Kubernetes client for Python would be another
dependency, and would need a setting for each of these.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.orchestration.kubernetes.job import KubernetesConfig, Manifest

PATIENCE_WITH_ONE_ANSWER = 30.0  # Time limit of a call, in seconds.
# Match kubectl's text, because its exit status is 1 for all errors.
_MISTAKE = re.compile(
    r"\((?:Forbidden|Unauthorized|NotFound|Invalid|BadRequest)\)"
    r"| is invalid: |Error in configuration: "
)
"""Errors of kubectl that a user has to fix; all others may pass."""


class NoAnswer(Exception):
    """The cluster did not answer, or failed in a way that may pass."""


@dataclass(frozen=True)
class Kubectl:
    """Callable that runs kubectl for the cluster and namespace in the settings."""

    config: KubernetesConfig

    def __call__(self, *words: str, given: Manifest | None = None, seconds: float = 0) -> str:
        """Run `kubectl …`, and return its standard output.

        Args:
            words: Arguments of kubectl.
            given: Manifest for its standard input.
            seconds: Seconds to add to the usual time limit.

        Raises:
            UserError: if kubectl cannot be started, or the cluster refuses the call.
            NoAnswer: if there is no answer in time, or an error that may pass.
        """
        where = {"--context": self.config.context, "--namespace": self.config.namespace}
        options = [f"{name}={value}" for name, value in where.items() if value is not None]
        try:
            done = subprocess.run(
                [self.config.kubectl, *options, *words],
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
        # Replace invalid UTF-8: logs of pods may contain any bytes.
        answer, error_text = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        if done.returncode == 0:
            return answer
        # Take the last line: kubectl writes failed attempts before the final error.
        lines = [line for line in error_text.splitlines() if line.strip()] or ["nothing"]
        reason = f"the cluster must do `kubectl {words[0]}`. Received: {lines[-1]}"
        if _MISTAKE.search(lines[-1]):
            raise UserError(reason)
        raise NoAnswer(reason)
