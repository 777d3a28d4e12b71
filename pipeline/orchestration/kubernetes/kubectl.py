"""Call kubectl as a subprocess.

Operators have set it up for their clusters: contexts, log-ins by plugins, proxies and certificates
come with it, and every call here can be repeated by hand. The Python client would be one more
dependency, and would need a setting for each of them.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.orchestration.kubernetes.job import KubernetesConfig, Manifest

PATIENCE_WITH_ONE_ANSWER = 30.0
"""Seconds after which a call without an answer fails."""
# kubectl ends with status 1 for all of them, so its words have to tell.
_MISTAKE = re.compile(
    r"\((?:Forbidden|Unauthorized|NotFound|Invalid|BadRequest)\)"
    r"| is invalid: |Error in configuration: "
)
"""Errors of kubectl that a user has to mend; all others may pass."""


class NoAnswer(Exception):
    """The cluster has not answered, or has failed, and may succeed later."""


@dataclass(frozen=True)
class Kubectl:
    """Calls of kubectl, for the cluster and the namespace of the settings."""

    config: KubernetesConfig

    def __call__(self, *words: str, given: Manifest | None = None, seconds: float = 0) -> str:
        """Run `kubectl …`, with a manifest as its standard input, and return its output.

        It may take `seconds` longer than an ordinary call.

        Raises:
            UserError: if there is no such program, or the cluster refuses.
            NoAnswer: if there is no answer, or a failure that may pass.
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
        # Pods may write any bytes.
        answer, error_text = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        if done.returncode == 0:
            return answer
        # kubectl writes its attempts first, and the result last.
        lines = [line for line in error_text.splitlines() if line.strip()] or ["nothing"]
        reason = f"the cluster must do `kubectl {words[0]}`. Received: {lines[-1]}"
        if _MISTAKE.search(lines[-1]):
            raise UserError(reason)
        raise NoAnswer(reason)
