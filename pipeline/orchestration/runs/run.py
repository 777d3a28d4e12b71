"""One run: its steps over restarts, its end, and who is notified."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.exit_status import AGAIN
from pipeline.orchestration.new_pictures import former_pictures
from pipeline.orchestration.plan import Plan, plan_of
from pipeline.orchestration.project import PIPELINE, Project, keep_settings, open_project
from pipeline.orchestration.runs.failure import RunFailure, failure_of
from pipeline.orchestration.runs.notifications import notify
from pipeline.orchestration.runs.outcome import (
    HISTORY,
    Outcome,
    Step,
    StepState,
    Trigger,
    history_of,
    now,
    write_outcome,
)
from pipeline.orchestration.runs.page import write_pages
from pipeline.orchestration.runs.run_state import RunState, find_folder, read_state, write_state
from pipeline.orchestration.runs.summarize import stable_version, summarize
from pipeline.orchestration.snapshots import SHORT, is_kept
from pipeline.orchestration.steps.step import Done
from savedmodels import atomic

_UNKNOWN = "a step could not tell why it failed; its page in the user interface and logs/ may"


@dataclass(frozen=True)
class Run:
    """A run of the pipeline that has begun; one that is repeated after a kill is the same run.

    Args:
        plan: Plan of the run.
        folder: Folder of the run in the history.
    """

    plan: Plan
    folder: Path

    @property
    def former(self) -> int | None:
        """Version that `stable` served when the run began."""
        return read_state(self.folder).former

    @property
    def against(self) -> Plan | None:
        """Plan behind that version, None if its snapshot is gone."""
        former = self.former
        if former is None:
            return None
        project = self.plan.project
        for outcome in reversed(history_of(project.path)):
            same = (outcome.model, outcome.version) == (project.config.model, former)
            if same and outcome.snapshot is not None:
                key = outcome.snapshot.content_hash[:SHORT]
                if is_kept(project, key):
                    return plan_of(project, key)
        return None

    def perform(self, name: str, work: Callable[[], Done]) -> Done:
        """Do a step, and record its result.

        Raises:
            BaseException: if the work raises it; a signal does so too.
        """
        began = time.monotonic()

        def record(state: StepState, reason: str) -> None:
            seconds = round(time.monotonic() - began, 1)
            self._record(Step(name=name, state=state, seconds=seconds, reason=reason))

        try:
            done = work()
        except BaseException as error:
            failure = failure_of(error)
            record("failed", failure.reason)
            self._fail(failure)
            raise
        record("done" if done.new else "unchanged", done.note)
        return done

    def end(self, failure: RunFailure | None = None) -> Outcome:
        """Write the outcome and the pages, notify, and return the outcome.

        Args:
            failure: Failure of the run, None for that of the last failed step, or for success.
        """
        if failure is None and self.failure is None and self.plan.mark("tested") is None:
            # A full disk may keep a step from recording its failure.
            failure = RunFailure(reason=_UNKNOWN, status=AGAIN, may_pass=True)
        if failure is not None:
            self._fail(failure)
        state, project = read_state(self.folder), self.plan.project
        outcome = summarize(self.plan, state, self.folder.name)
        write_outcome(project.path, outcome)
        # A run that had nothing to do must not hide the one that promoted.
        if outcome.verdict != "unchanged" or self.plan.ended() is None:
            self.plan.note(
                "ended",
                run=outcome.run,
                verdict=outcome.verdict,
                reason=outcome.reason,
                final=state.failure is None or not state.failure.may_pass,
                settings=self.plan.settings,
            )
        try:
            write_pages(project.path, outcome)
        except Exception as error:
            self._log("pages", [failure_of(error).reason])
        # Last, as servers may be slow; and once, as no failure here leads to another attempt.
        self._log("notifications", notify(project.config.notifications, outcome))
        return outcome

    @property
    def failure(self) -> RunFailure | None:
        """Failure that the run ended with, or that its last step had."""
        return read_state(self.folder).failure

    def _log(self, log: str, problems: Iterable[str]) -> None:
        logs = self.plan.project.logs
        lines = [f"{self.folder.name}: {problem}\n" for problem in problems]
        if lines:
            with suppress(OSError):  # The disk may be full.
                logs.mkdir(exist_ok=True)
                with (logs / f"{log}.log").open("a") as file:
                    file.writelines(lines)

    def _record(self, step: Step) -> None:
        state = read_state(self.folder)
        others = tuple(each for each in state.steps if each.name != step.name)
        # A step that has succeeded makes up for its earlier attempts.
        failure = state.failure if step.state == "failed" else None
        update = {"steps": (*others, step), "failure": failure}
        write_state(self.folder, state.model_copy(update=update))

    def _fail(self, failure: RunFailure) -> None:
        state = read_state(self.folder)
        write_state(self.folder, state.model_copy(update={"failure": failure}))


def find_run(project: Path, name: str) -> Run | None:
    """Find a run that has begun, with the configuration that it began with; None if none has.

    Args:
        project: Folder of the project.
        name: Name that the run keeps when it is repeated after a kill.

    Raises:
        UserError: if the snapshot or the configuration is no longer there.
    """
    folder = find_folder(project, name)
    if folder is None:
        return None
    kept = open_project(project, folder / PIPELINE)
    return Run(plan_of(kept, read_state(folder).snapshot), folder)


def begin_run(project: Project, name: str, *, snapshot: str, trigger: Trigger) -> Run:
    """Begin a run, or return the one of this name that has begun.

    Args:
        project: Project whose run it is; its configuration holds for all of the run.
        name: Name that the run keeps when it is repeated after a kill.
        snapshot: Key of the snapshot.
        trigger: Trigger that started the run.

    Raises:
        UserError: if the snapshot is not there.
    """
    if begun := find_run(project.path, name):
        return begun
    plan = plan_of(project, snapshot)
    started = _start_of_next(project)
    folder = project.path / HISTORY / f"{started:%Y%m%d-%H%M%S}-{name}"
    atomic.make_folder(folder)
    keep_settings(project, folder)
    # Last: a folder without a state is of no run, so a kill before it leaves none half begun.
    state = RunState(
        started=started,
        trigger=trigger,
        snapshot=snapshot,
        former=stable_version(project),
        new=former_pictures(project).new_in(plan.snapshot),
    )
    write_state(folder, state)
    return Run(plan_of(open_project(project.path, folder / PIPELINE), snapshot), folder)


def _start_of_next(project: Project) -> datetime:
    """Return the present time, or a second after the last start if the clock was set back.

    Runs are ordered by their starts, in the history and where new pictures are counted.
    """
    history = history_of(project.path)
    if not history:
        return now()
    return max(now(), history[-1].started + timedelta(seconds=1))
