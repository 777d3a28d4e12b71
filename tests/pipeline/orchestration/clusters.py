"""Stand-ins for clusters: pods are processes here (see `fake_kubectl.py`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.cli.worker_processes import free_addresses
from tests.pipeline.orchestration import fake_kubectl
from tests.pipeline.orchestration.projects import wait

ROOT = Path(__file__).parents[3]


class Cluster:
    """A stand-in for a cluster; none of its pods outlives the block.

    Args:
        folder: Where it keeps its Jobs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "addresses.json").write_text(json.dumps(free_addresses(2)))
        kubectl = f'exec {sys.executable} {fake_kubectl.__file__} {folder} "$@"'
        self.kubectl = self.program("kubectl", kubectl)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for name in self.jobs():
            (self.folder / name / "doomed").touch()
        wait(lambda: not self.jobs(), "the end of all pods")

    def program(self, name: str, text: str) -> Path:
        """A program of the shell, such as an image."""
        file = self.folder / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return file

    def growgan(self) -> Path:
        """An image in which growgan is what is tested here."""
        return self.program(
            "growgan", f'PYTHONPATH={ROOT} exec {sys.executable} -m pipeline.cli "$@"'
        )

    def settings(self, image: Path) -> dict[str, Any]:
        """The section `training.kubernetes` of a project beside it."""
        given = {"image": image, "mount_path": self.folder.parent, "kubectl": self.kubectl}
        return {key: str(value) for key, value in given.items()}

    def jobs(self) -> list[str]:
        """Names of those that are there."""
        return sorted(file.parent.name for file in self.folder.glob("[!.]*/job.json"))

    def calls(self) -> list[str]:
        """All that was asked of it."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []
