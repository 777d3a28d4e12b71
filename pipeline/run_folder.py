"""The folder of a run: its configuration, its lineage and its weights, where each is found."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import yaml

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.loading import HOW, WATCHING, Override, config_from, differences
from savedmodels import atomic, locks

if TYPE_CHECKING:
    import keras

    from pipeline.data.records import RecordSet
    from pipeline.sampling.sampler import AnySampler
    from pipeline.schedule import Phase
    from pipeline.training.loop.checkpoints import Checkpoint
    from pipeline.training.position import RollBack
    from savedmodels.exportable import Exportable

Resume: TypeAlias = Literal["never", "auto", "must"]
"""Whether a run that is there goes on: not at all, yes, or yes and it has to be there."""

PACKAGES = ("tensorflow", "keras", "numpy")


class Restored(NamedTuple):
    """A network as it stands in a checkpoint.

    Args:
        network: Network that makes models, all of the same variables.
        model: Model of the phase.
        phase: Phase of the checkpoint.
    """

    network: Any
    model: keras.Model
    phase: Phase


@dataclass(frozen=True)
class RunFolder:
    """Folder of a run; nothing is read or written until a method is called."""

    path: Path

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.path / "tensorboard"

    @property
    def profile(self) -> Path:
        """Traces of single steps."""
        return self.path / "profile"

    @property
    def samples(self) -> Path:
        """Grids of fixed latents."""
        return self.path / "samples"

    @property
    def savedmodels(self) -> Path:
        """Exports: `<height>x<width>/<images seen>`."""
        return self.path / "savedmodels"

    @property
    def exports(self) -> Path:
        """Files for other frameworks: `<height>x<width>-<images seen>.<format>`."""
        return self.path / "exports"

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def evaluations(self) -> Path:
        """Scores, reports and pictures: `images-<images seen>/<features>`."""
        return self.path / "evaluations"

    def evaluation(self, images_seen: int) -> Path:
        """Return the folder of a checkpoint's scores, which has one for each kind of features."""
        return self.evaluations / f"images-{images_seen:09d}"

    def evaluated(self) -> list[int]:
        """Images seen at the checkpoints of which something was measured, ascending."""
        names = (re.fullmatch(r"images-(\d+)", path.name) for path in self.evaluations.glob("*"))
        return sorted(int(name[1]) for name in names if name)

    def newest_export(self) -> Path:
        """The SavedModel after the most images, of the highest resolution.

        Raises:
            UserError: if there is no run here, or nothing was exported yet.
        """
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
        """Return whether a run was started here."""
        return self._config_file.is_file()

    def start(
        self,
        config: Config,
        records: RecordSet,
        *,
        resume: Resume,
        first_weights: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the configuration and the lineage, or check that a run can go on with them.

        Args:
            config: Configuration of the run.
            records: Records that it trains on.
            resume: Whether it may be there, or must.
            first_weights: Origin of a new run's weights, None if they are drawn.

        Raises:
            UserError: if a run is here and `resume` is `never`, or none and it is `must`; if it was
                started with another configuration or data; or if the folder cannot be written.
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
            if before is None:
                self._take(config, records)
            elif before != records.data_hash:
                raise UserError(
                    "a run can only go on with the data it was started with. "
                    f"Received: content {records.data_hash[:12]}, not {before[:12]}"
                )
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lineage = _lineage(config, _data_of(config, records))
            if first_weights is not None:
                lineage["first_weights"] = dict(first_weights)
            self._write_start(config, lineage)
        except OSError as error:
            raise UserError(f"`--out` must be writable. Received: {error}") from error

    def require_startable(self, resume: Resume) -> None:
        """Refuse a folder in which no run can begin or go on, whatever its configuration.

        Raises:
            UserError: if a run is here and `resume` is `never`, or none and it is `must`; or if
                something else is here.
        """
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
        """Write the configuration and the lineage of a run whose weights others trained.

        Their data is not known: the run takes what it first goes on with.

        Args:
            config: Configuration of the run.
            classes: Names, for a labelled run.
            origin: Origin of the weights.

        Raises:
            OSError: if they cannot be written.
        """
        data = {"source": None, "hash": None, "count": 0, "classes": [*classes], "skipped": []}
        self._write_start(config, {**_lineage(config, data), "imported": dict(origin)})

    def _write_start(self, config: Config, lineage: Mapping[str, Any]) -> None:
        self._write_manifest(lineage)
        # Last, as it is the mark of a run.
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        atomic.write_file(self._config_file, text)

    def _take(self, config: Config, records: RecordSet) -> None:
        self.require_classes(records)
        self.add_to_manifest(data=_data_of(config, records))

    def require_classes(self, records: RecordSet) -> None:
        """Refuse data of another number of classes, where a run has labels.

        Raises:
            UserError: if there are more or fewer.
        """
        classes = self.manifest()["data"]["classes"]
        if self.config().data.labels and len(records.classes) != len(classes):
            raise UserError(
                f"a labelled run needs data of as many classes as it has, {len(classes)}. "
                f"Received: {len(records.classes)}"
            )

    def _is_free(self) -> bool:
        # A start that was killed may have left the lineage: without a configuration it is no run.
        return self.path.is_dir() and all(
            path == self._manifest_file or atomic.is_remains(path) for path in self.path.iterdir()
        )

    @contextmanager
    def alone(self, task: Literal["trained", "evaluated"]) -> Iterator[None]:
        """Keep others from doing the same to this run, and remove what killed ones left half done.

        A run may be evaluated while it is trained.

        Raises:
            UserError: if the run is being trained, or evaluated, by another process.
        """

        def ours(path: Path) -> bool:
            of_evaluation = "evaluations" in str(path.relative_to(self.path))
            return of_evaluation == (task == "evaluated")

        with ExitStack() as lock:
            try:
                lock.enter_context(
                    locks.hold(self.path / f".{task}.lock", wait=False, required=False)
                )
            except locks.Busy:
                raise UserError(
                    f"a run is {task} by one process at a time. Received: {self.path}, which is "
                    f"being {task}"
                ) from None
            atomic.remove_remains(self.path, ours)
            yield

    def config(self, overrides: Sequence[Override] = ()) -> Config:
        """The configuration that the run was started with, with overrides.

        Raises:
            UserError: if there is no run here, or its configuration or an override is wrong.
        """
        self._require_run()
        return config_from(self._config_file.read_text(), overrides, origin=str(self._config_file))

    def manifest(self) -> dict[str, Any]:
        """The lineage.

        Raises:
            UserError: if it is missing or damaged.
        """
        try:
            manifest: dict[str, Any] = json.loads(self._manifest_file.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"a run needs its lineage. Received: {error}") from error
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
        """The newest checkpoint.

        Raises:
            UserError: if there is no run here, no checkpoint yet, or the newest is damaged.
        """
        from pipeline.training.loop.checkpoints import newest

        self._require_run()
        saved, damaged = newest(self.path)
        if damaged:
            raise UserError(
                "the newest checkpoint must be whole; `growgan train --resume auto` goes back to "
                f"the one before. Received: {damaged[0].folder}: {damaged[0].reason}"
            )
        if saved is None:
            raise UserError(f"a run must have a checkpoint first. Received: {self.path}, with none")
        return saved

    def checkpoint(self, images_seen: int) -> Checkpoint:
        """Return the checkpoint at a number of images seen.

        Raises:
            UserError: if there is no run here, or no such checkpoint.
        """
        from pipeline.training.loop.checkpoints import all_in

        self._require_run()
        saved = {each.position.images_seen: each for each in all_in(self.path)}
        if images_seen not in saved:
            known = ", ".join(map(str, sorted(saved))) or "none"
            raise UserError(
                f"a checkpoint of the run must be one after {known} images. Received: {images_seen}"
            )
        return saved[images_seen]

    def generator(self, checkpoint: Checkpoint) -> keras.Model:
        """The generator as it stands in a checkpoint, to be called as its average is."""
        return self._restored("generator", "generator", checkpoint).model

    def average(self, checkpoint: Checkpoint) -> keras.Model:
        """The generator's average as it stands in a checkpoint.

        Call: latents `(batch, latent_size)`, with labels `[latents, (batch, classes)]`, →
        float32 images of the checkpoint's phase.
        """
        return self._restored("generator", "average", checkpoint).model

    def sampler(self, checkpoint: Checkpoint) -> AnySampler:
        """The sampler of the generator's average as it stands in a checkpoint."""
        from pipeline.sampling.sampler import sampler_of

        network, model, phase = self._restored("generator", "average", checkpoint)
        return sampler_of(network, model, phase.resolution, fading=phase.fading)

    def discriminator(self, checkpoint: Checkpoint) -> keras.Model:
        """The discriminator as it stands in a checkpoint.

        Call: images `(batch, height, width, channels)` of the checkpoint's phase → scores
        `(batch, 1)`, in some labelled families also `logits` `(batch, classes)`, by name.
        """
        return self._restored("discriminator", "discriminator", checkpoint).model

    def exportable(self, checkpoint: Checkpoint, *, discriminator: bool = False) -> Exportable:
        """Return the models of an export of the generator's average, as a checkpoint has it.

        Args:
            checkpoint: Checkpoint of the run.
            discriminator: Whether it is exported too.
        """
        from savedmodels.exportable import Exportable

        return Exportable(
            self.sampler(checkpoint),
            discriminator=self.discriminator(checkpoint) if discriminator else None,
        )

    def _restored(
        self, network: Literal["generator", "discriminator"], name: str, checkpoint: Checkpoint
    ) -> Restored:
        from pipeline.families.family import family_of
        from pipeline.shape import start_shape
        from pipeline.training.synthesis.phase_models import weights_of

        config = self.config()
        phase = config.schedule.build().phases[checkpoint.position.phase]
        family = family_of(config.network)
        make = family.generator if network == "generator" else family.discriminator
        made = make(
            config.network,
            channels=config.data.channels,
            label_size=len(self.manifest()["data"]["classes"]) if config.data.labels else 0,
            start=start_shape(config.schedule.shape),
            name=name,
        )
        model = made.model(phase.resolution, fading=phase.fading)
        checkpoint.restore({name: weight.value for name, weight in weights_of(model).items()})
        return Restored(made, model, phase)

    def export_lineage(self, images_seen: int, roll_backs: Sequence[RollBack]) -> dict[str, Any]:
        """Return the lineage beside a SavedModel: the run's, and the time of the export."""
        kept = ("growgan", "code", "packages", "config_hash", "data", "imported", "first_weights")
        manifest = self.manifest()
        return {name: manifest[name] for name in kept if name in manifest} | {
            "images_seen": images_seen,
            "roll_backs": [asdict(each) for each in roll_backs],
            "exported": _now(),
        }


def _lineage(config: Config, data: Mapping[str, Any]) -> dict[str, Any]:
    text = config.model_dump_json(
        exclude={"run": set(HOW), "data": {"records"}, **dict.fromkeys(WATCHING, True)}
    )
    return {
        "growgan": metadata.version("growgan"),
        "code": _commit(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "started": _now(),
        "config_hash": hashlib.sha256(text.encode()).hexdigest(),
        "data": data,
        "exports": [],
    }


def _data_of(config: Config, records: RecordSet) -> dict[str, Any]:
    return {
        "source": config.data.source,
        "hash": records.data_hash,
        "count": records.count,
        "classes": list(records.classes),
        "skipped": [list(skipped) for skipped in records.skipped],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str | None:
    """The commit of this checkout, marked when it has changes; None when installed elsewhere."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None
