"""Count the pictures that are new since earlier runs, to decide whether to start a run.

A snapshot is a stored copy of the pictures at one time; see snapshots.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.data.sources.files import is_picture
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.outcome import Outcome, history_of
from pipeline.orchestration.snapshots import (
    FoundFile,
    Snapshot,
    all_unchanged,
    kept_snapshot,
    max_new_pictures,
)


@dataclass(frozen=True)
class FormerSnapshots:
    """Snapshots of earlier runs, to compare new pictures with."""

    last: Snapshot | None = None  # Newest snapshot of any run that is still kept, None without one
    promoted: Snapshot | None = None
    """Newest kept snapshot of a run that promoted a version or had nothing to do."""
    failed: bool = False  # True if the last run ended in any other way

    def new_in(self, snapshot: Snapshot) -> int:
        """Count the pictures in a snapshot that are new since the last run."""
        gone = self.last is not None and bool(
            set(self.last.files.values()) - set(snapshot.files.values())
        )
        return snapshot.new_since(self._basis(gone))

    def max_new(self, project: Project, files: Mapping[str, FoundFile]) -> int:
        """Return an upper bound of the number of new pictures, without opening any file."""
        gone = self.last is not None and not all_unchanged(project, files, self.last)
        return max_new_pictures(project, files, self._basis(gone))

    def too_few(self, snapshot: Snapshot, minimum: int) -> str | None:
        """Return why a snapshot has too few new pictures for a run, None if it has enough."""
        new = self.new_in(snapshot)
        # Let unchanged pictures through: the configuration may have changed.
        same = self.last is not None and self.last.content_hash == snapshot.content_hash
        return None if same or new >= minimum else f"{new} pictures are new, not {minimum}"

    def too_few_found(
        self, project: Project, files: Mapping[str, FoundFile], minimum: int
    ) -> str | None:
        """Return why the listed files have too few new pictures, None if they may have enough.

        Opens no file. Without this check, each pause of arriving pictures would cost a snapshot.
        """
        names = {} if self.last is None else self.last.files
        if not any(map(is_picture, files)) or files.keys() == names.keys():
            return None
        new = self.max_new(project, files)
        return None if new >= minimum else f"at most {new} pictures are new, not {minimum}"

    def _basis(self, gone: bool) -> Snapshot | None:
        """Return the snapshot to compare with; `gone` means that pictures of the last are gone."""
        # If a run failed and some of its pictures were removed since, its other pictures may never
        # have been trained on, so they still count as new.
        return self.promoted if self.failed and gone else self.last


def former_pictures(project: Project) -> FormerSnapshots:
    """Find the snapshots of a project's earlier runs in its history.

    Raises:
        UserError: if an outcome or a snapshot is damaged.
    """
    runs = [outcome for outcome in reversed(history_of(project.path)) if outcome.snapshot]
    succeeded = [outcome for outcome in runs if outcome.verdict in ("promoted", "unchanged")]
    return FormerSnapshots(
        last=_newest_kept(project, runs),
        promoted=_newest_kept(project, succeeded),
        failed=bool(runs) and runs[0] not in succeeded,
    )


def _newest_kept(project: Project, outcomes: list[Outcome]) -> Snapshot | None:
    """Return the first outcome's snapshot that was not removed, given the newest outcome first."""
    summaries = (outcome.snapshot for outcome in outcomes if outcome.snapshot)
    kept = (kept_snapshot(project, summary.content_hash) for summary in summaries)
    return next(filter(None, kept), None)
