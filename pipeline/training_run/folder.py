"""Run folder: paths of its files, start and resume of a run, and its configuration and lineage.

A run folder is what `growgan train --out` writes. `config.yaml` marks it; `manifest.json` holds the
lineage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.loading import Override, config_from, differences
from pipeline.training.loop import checkpoints
from pipeline.training.loop.checkpoints import Checkpoint
from pipeline.training_run.lineage import lineage_of_data, lineage_of_export, lineage_of_start
from savedmodels import atomic, locks

if TYPE_CHECKING:
    from pipeline.data.records import RecordSet
    from pipeline.training.position import RollBack

Resume: TypeAlias = Literal["never", "auto", "must"]
"""`never` refuses a folder with a run; `auto` continues a run if there is one; `must` needs one."""


@dataclass(frozen=True)
class RunFolder:
    """Folder of a run; only methods read or write, so the folder need not exist."""

    path: Path

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def profile(self) -> Path:
        """Folder of profiler traces of single steps."""
        return self.path / "profile"

    @property
    def samples(self) -> Path:
        """Folder of sample grids: images from fixed latents."""
        return self.path / "samples"

    @property
    def savedmodels(self) -> Path:
        """Folder of exported SavedModels: `<height>x<width>/<images seen>`."""
        return self.path / "savedmodels"

    @property
    def exports(self) -> Path:
        """Folder of exports in other formats: `<height>x<width>-<images seen>.<format>`."""
        return self.path / "exports"

    @property
    def metrics(self) -> Path:
        """File of metrics, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def evaluations(self) -> Path:
        """Folder of scores and reports: `images-<images seen>/<kind of features>`."""
        return self.path / "evaluations"

    def evaluation(self, images_seen: int) -> Path:
        """Folder of a checkpoint's scores, with a sub-folder for each kind of features."""
        return self.evaluations / f"images-{images_seen:09d}"

    def evaluated(self) -> list[int]:
        """List the checkpoints that were evaluated, by images seen, ascending."""
        names = (re.fullmatch(r"images-(\d+)", path.name) for path in self.evaluations.glob("*"))
        return sorted(int(name[1]) for name in names if name)

    def newest_export(self) -> Path:
        """Find the SavedModel with the most images seen; if several, of the highest resolution."""
        self._require_run()
        found = [
            (int(path.name), int(path.parent.name.partition("x")[0]), path)
            for path in self.savedmodels.glob("[0-9]*x[0-9]*/[0-9]*")
            if path.name.isdecimal()
        ]
        if not found:
            raise UserError(
                "a run must have a SavedModel first, by `growgan export`. "
                f"Received: {self.path}, with none"
            )
        return max(found)[-1]

    @property
    def _config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def _manifest_file(self) -> Path:
        return self.path / "manifest.json"

    def exists(self) -> bool:
        """Return true if a run was started here."""
        return self._config_file.is_file()

    def start(
        self,
        config: Config,
        records: RecordSet,
        *,
        resume: Resume,
        first_weights: Mapping[str, Any] | None = None,
    ) -> None:
        """Start a run: write configuration and lineage; or check that the run here can continue.

        Raises:
            UserError: if the folder holds other files, cannot be written, or holds a run that must
                not continue, or was started with other data or `decisive_settings`.
        """
        self.require_startable(resume)
        if self.exists():
            changed = differences(self.config(), config)
            if changed:
                raise UserError(
                    "a run can only go on with the configuration it was started with. "
                    f"Received: {'; '.join(changed)}"
                )
            before = self.manifest()["data"]["hash"]
            if before is None:  # Imported weights: record the data of the first continuation.
                self.require_classes(records)
                self.add_to_manifest(data=lineage_of_data(config, records))
            elif before != records.data_hash:
                raise UserError(
                    "a run can only go on with the data it was started with. "
                    f"Received: content {records.data_hash[:12]}, not {before[:12]}"
                )
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lineage = lineage_of_start(config, lineage_of_data(config, records))
            if first_weights is not None:
                lineage["first_weights"] = dict(first_weights)
            self._write_start(config, lineage)
        except OSError as error:
            raise UserError(f"`--out` must be writable. Received: {error}") from error

    def require_startable(self, resume: Resume) -> None:
        """Refuse a folder in which no run can start or resume, with any configuration."""
        if self.exists():
            if resume == "never":
                raise UserError(
                    "`--out` must be a new folder, or a run's with `--resume auto`. "
                    f"Received: {self.path}, which holds a run"
                )
            return
        if resume == "must":
            raise UserError(
                f"`--resume must` needs a run in `--out`. Received: {self.path}, which holds none"
            )
        if self.path.exists() and not self._is_free():
            raise UserError(
                f"`--out` must be a new or empty folder. Received: {self.path}, which is neither"
            )

    def start_imported(
        self, config: Config, classes: Sequence[str], origin: Mapping[str, Any]
    ) -> None:
        """Write the configuration and the lineage of a run with imported weights.

        Raises:
            OSError: if a file cannot be written.
        """
        # The training data of the weights are unknown: `start` will accept any data once.
        data = {"source": None, "hash": None, "count": 0, "classes": [*classes], "skipped": []}
        self._write_start(config, {**lineage_of_start(config, data), "imported": dict(origin)})

    def _write_start(self, config: Config, lineage: Mapping[str, Any]) -> None:
        self._write_manifest(lineage)
        # Write the configuration last: it marks the folder as a run, so a kill before leaves none.
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        atomic.write_file(self._config_file, text)

    def classes(self) -> list[str]:
        """List the names of the classes; empty in a run without labels."""
        return list(self.manifest()["data"]["classes"]) if self.config().data.labels else []

    def require_classes(self, records: RecordSet) -> None:
        """Refuse records with another number of classes, if the run has labels."""
        known = len(self.classes())
        if self.config().data.labels and len(records.classes) != known:
            raise UserError(
                f"a run with labels needs data with the same number of classes, {known}. "
                f"Received: {len(records.classes)}"
            )

    def _is_free(self) -> bool:
        # Allow a manifest and temporary files: a start that was killed may have left them.
        return self.path.is_dir() and all(
            path == self._manifest_file or atomic.is_remains(path) for path in self.path.iterdir()
        )

    @contextmanager
    def alone(self, task: Literal["trained", "evaluated"]) -> Iterator[None]:
        """Lock the run for a task, or fail; then remove half-written files of killed processes."""

        # Keep files of the other task: a run may be evaluated while it is trained.
        def of_this_task(path: Path) -> bool:
            of_evaluation = "evaluations" in str(path.relative_to(self.path))
            return of_evaluation == (task == "evaluated")

        with ExitStack() as lock:
            try:
                # Continue without a lock on network file systems that have none.
                lock.enter_context(
                    locks.hold(self.path / f".{task}.lock", wait=False, required=False)
                )
            except locks.Busy:
                raise UserError(
                    f"a run is {task} by one process at a time. Received: {self.path}, which is "
                    f"being {task}"
                ) from None
            atomic.remove_remains(self.path, of_this_task)
            yield

    def config(self, overrides: Sequence[Override] = ()) -> Config:
        """Read the configuration that the run was started with, with overrides."""
        self._require_run()
        return config_from(self._config_file.read_text(), overrides, origin=str(self._config_file))

    def manifest(self) -> dict[str, Any]:
        """Read the lineage from `manifest.json`."""
        try:
            manifest: dict[str, Any] = json.loads(self._manifest_file.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"a run needs its manifest.json. Received: {error}") from error
        return manifest

    def _require_run(self) -> None:
        if not self.exists():
            lacks = "without one" if self.path.is_dir() else "which is no folder"
            raise UserError(f"a run folder holds a config.yaml. Received: {self.path}, {lacks}")

    def add_to_manifest(self, **entries: Any) -> None:
        """Set top-level entries of the lineage."""
        self._write_manifest({**self.manifest(), **entries})

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        atomic.write_file(self._manifest_file, json.dumps(manifest, indent=2) + "\n")

    def newest_checkpoint(self) -> Checkpoint:
        """Find the newest checkpoint; a damaged one is an error, not skipped."""
        self._require_run()
        saved, damaged = checkpoints.newest(self.path)
        if damaged:
            raise UserError(
                "the newest checkpoint must be whole; `growgan train --resume auto` goes back to "
                f"the one before. Received: {damaged[0].folder}: {damaged[0].reason}"
            )
        if saved is None:
            raise UserError(f"a run must have a checkpoint first. Received: {self.path}, with none")
        return saved

    def checkpoint(self, images_seen: int) -> Checkpoint:
        """Find the checkpoint at a number of images seen."""
        self._require_run()
        saved = {each.position.images_seen: each for each in checkpoints.all_in(self.path)}
        if images_seen not in saved:
            known = ", ".join(map(str, sorted(saved))) or "none"
            raise UserError(
                f"a checkpoint of the run must be one after {known} images. Received: {images_seen}"
            )
        return saved[images_seen]

    def export_lineage(self, images_seen: int, roll_backs: Sequence[RollBack]) -> dict[str, Any]:
        """Return the lineage to store with an export, from the run's lineage."""
        return lineage_of_export(self.manifest(), images_seen, roll_backs)
