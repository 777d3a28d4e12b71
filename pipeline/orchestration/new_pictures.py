"""Count of new pictures since earlier runs, which decides whether a run starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.data.sources.files import is_picture
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.outcome import Outcome, history_of
from pipeline.orchestration.snapshots import (
    Found,
    Snapshot,
    all_known,
    kept_snapshot,
    most_new,
)


@dataclass(frozen=True)
class Former:
    """Snapshots of earlier runs.

    Args:
        last: Snapshot of the last run, None if there is none or it was removed.
        promoted: Snapshot of the last run that promoted a version, or had nothing to do.
        failed: True if the last run ended in any other way.
    """

    last: Snapshot | None = None
    promoted: Snapshot | None = None
    failed: bool = False

    def new_in(self, snapshot: Snapshot) -> int:
        """Count the pictures of a snapshot that are new."""
        gone = self.last is not None and bool(
            set(self.last.files.values()) - set(snapshot.files.values())
        )
        return snapshot.new_since(self._basis(gone))

    def at_most_new(self, project: Project, files: Mapping[str, Found]) -> int:
        """Bound the number of new pictures from above, without opening any file."""
        gone = self.last is not None and not all_known(project, files, self.last)
        return most_new(project, files, self._basis(gone))

    def too_few(self, snapshot: Snapshot, least: int) -> str | None:
        """Return why a snapshot starts no run, None if it does."""
        new = self.new_in(snapshot)
        # Unchanged pictures may start a run, as the configuration may have changed.
        same = self.last is not None and self.last.content_hash == snapshot.content_hash
        return None if same or new >= least else f"{new} pictures are new, not {least}"

    def too_few_found(self, project: Project, files: Mapping[str, Found], least: int) -> str | None:
        """Return why files start no run, None if they may, without opening them."""
        # Otherwise a snapshot would be taken each time that arriving pictures pause.
        names = {} if self.last is None else self.last.files
        if not any(map(is_picture, files)) or files.keys() == names.keys():
            return None
        new = self.at_most_new(project, files)
        return None if new >= least else f"at most {new} pictures are new, not {least}"

    def _basis(self, gone: bool) -> Snapshot | None:
        # If a run failed and some of its pictures were removed since, the others may never have
        # been trained on.
        return self.promoted if self.failed and gone else self.last


def former_pictures(project: Project) -> Former:
    """Find the snapshots of a project's earlier runs.

    Raises:
        UserError: if an outcome or a snapshot is damaged.
    """
    runs = [outcome for outcome in reversed(history_of(project.path)) if outcome.snapshot]
    well = [outcome for outcome in runs if outcome.verdict in ("promoted", "unchanged")]
    return Former(
        last=_newest_kept(project, runs),
        promoted=_newest_kept(project, well),
        failed=bool(runs) and runs[0] not in well,
    )


def _newest_kept(project: Project, outcomes: list[Outcome]) -> Snapshot | None:
    summaries = (outcome.snapshot for outcome in outcomes if outcome.snapshot)
    kept = (kept_snapshot(project, summary.content_hash) for summary in summaries)
    return next(filter(None, kept), None)
