"""One run: the results of its steps, over restarts, and its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.evaluation.scores import folder_of
from pipeline.exit_status import AGAIN
from pipeline.orchestration.begun import (
    Begun,
    folder_begun,
    names_of,
    read_begun,
    write_begun,
)
from pipeline.orchestration.failure import StepFailed, failure_of
from pipeline.orchestration.notifications import notify
from pipeline.orchestration.outcome import (
    HISTORY,
    Ending,
    Outcome,
    Step,
    StepState,
    Trigger,
    history_of,
    now,
    write_outcome,
)
from pipeline.orchestration.outcome import Snapshot as SnapshotTold
from pipeline.orchestration.plan import Plan, plan_of
from pipeline.orchestration.project import (
    LABEL,
    PIPELINE,
    Project,
    keep_settings,
    open_project,
)
from pipeline.orchestration.run_page import write_pages
from pipeline.orchestration.snapshots import SHORT, is_kept
from pipeline.orchestration.steps import Done
from pipeline.orchestration.steps.judging import (
    scores_of,
    scores_of_version,
    sheets_of,
    verdict_of,
    why_not_judged,
)
from pipeline.orchestration.waiting import former_pictures
from savedmodels import atomic

_UNTOLD = "a step could not tell why it failed; its page in the user interface and logs/ may"


@dataclass(frozen=True)
class Course:
    """A run of the pipeline that has begun; a run that is repeated after a kill goes on with it.

    Args:
        plan: Plan of the run.
        folder: Folder in the history.
    """

    plan: Plan
    folder: Path

    @property
    def former(self) -> int | None:
        """The version that `stable` stood at when the run began."""
        return self._read().former

    @property
    def against(self) -> Plan | None:
        """The plan behind that version."""
        if self.former is None:
            return None
        project = self.plan.project
        for outcome in reversed(history_of(project.path)):
            same = (outcome.model, outcome.version) == (project.config.model, self.former)
            if same and outcome.snapshot is not None:
                key = outcome.snapshot.content_hash[:SHORT]
                if is_kept(project, key):
                    return plan_of(project, key)
        return None

    def perform(self, name: str, work: Callable[[], Done]) -> Done:
        """Do a step, and note what came of it.

        Raises:
            StepFailed: if it failed.
            BaseException: what told the process to stop.
        """
        began = time.monotonic()

        def note(state: StepState, reason: str = "") -> None:
            seconds = round(time.monotonic() - began, 1)
            self._note(Step(name=name, state=state, seconds=seconds, reason=reason))

        try:
            done = work()
        except Exception as error:
            failure = failure_of(error)
            note("failed", failure.reason)
            self._fail(failure)
            raise failure from error
        except BaseException as error:
            failure = failure_of(error)
            note("failed", failure.reason)
            self._fail(failure)
            raise
        note("done" if done.new else "unchanged", done.note)
        return done

    def end(self, failure: StepFailed | None = None) -> Outcome:
        """Write down how the run ended, tell those who are to be told, and give the outcome.

        Args:
            failure: Failure of the run, None for that of the last failed step, or for success.
        """
        if failure is None and self.failed() is None and self.plan.mark("tested") is None:
            failure = StepFailed(_UNTOLD, status=AGAIN, may_pass=True)
        if failure is not None:
            self._fail(failure)
        outcome = self._outcome()
        project = self.plan.project
        write_outcome(project.path, outcome)
        failed = self._read().failure
        final = failed is None or not failed[3]
        ended = self.plan.ended()
        if outcome.verdict != "unchanged" or ended is None:
            self.plan.note(
                "ended",
                run=outcome.run,
                verdict=outcome.verdict,
                reason=outcome.reason,
                final=final,
                settings=self.plan.settings,
            )
        try:
            write_pages(project.path, outcome)
        except Exception as error:
            self._keep("pages", [failure_of(error).reason])
        # Last, as others may be slow. It is told once: what fails leads to no other attempt.
        self._keep("notifications", notify(project.config.notifications, outcome))
        return outcome

    def failed(self) -> StepFailed | None:
        """Return the failure that the run ended with."""
        failure = self._read().failure
        if failure is None:
            return None
        reason, ending, status, may_pass = failure
        return StepFailed(reason, ending=ending, status=status, may_pass=may_pass)

    def _keep(self, log: str, problems: Iterable[str]) -> None:
        logs = self.plan.project.logs
        lines = [f"{self.folder.name}: {problem}\n" for problem in problems]
        if lines:
            with suppress(OSError):  # The disk may be full.
                logs.mkdir(exist_ok=True)
                with (logs / f"{log}.log").open("a") as file:
                    file.writelines(lines)

    def _read(self) -> Begun:
        return read_begun(self.folder)

    def _write(self, begun: Begun) -> None:
        write_begun(self.folder, begun)

    def _note(self, step: Step) -> None:
        begun = self._read()
        others = tuple(each for each in begun.steps if each.name != step.name)
        failure = begun.failure if step.state == "failed" else None
        self._write(begun.model_copy(update={"steps": (*others, step), "failure": failure}))

    def _fail(self, failure: StepFailed) -> None:
        told = (failure.reason, failure.ending, failure.status, failure.may_pass)
        self._write(self._read().model_copy(update={"failure": told}))

    def _outcome(self) -> Outcome:
        begun, plan, project = self._read(), self.plan, self.plan.project
        published = plan.mark("published") or {}
        evaluated = plan.mark("evaluated") is not None
        manifest = plan.run.manifest() if plan.run.exists() else {}
        before = plan.ended()
        scores = scores_of(plan) if evaluated else None
        promoted = scores_of_version(plan, begun.former)
        gate = verdict_of(plan, promoted) if evaluated else None
        verdict: Ending = "promoted"
        name = self.folder.name
        version = published.get("version")
        kept = "all rules of the gate are kept" if gate else why_not_judged(project)
        reason = f"{kept}, and servers answer with version {version}"
        if begun.failure is not None:
            reason, verdict = begun.failure[:2]
        elif before is not None and before.verdict == "promoted" and before.run != name:
            verdict = "unchanged"
            reason = f"run {before.run} has promoted version {version} already"
        report = folder_of(plan.run, scores) / "report.html" if scores else None
        return Outcome(
            run=name,
            model=project.config.model,
            trigger=begun.trigger,
            started=begun.started,
            ended=now(),
            verdict=verdict,
            reason=reason,
            steps=_in_order(begun.steps, names_of(plan.config.schedule.build().stages)),
            source=", ".join(project.config.sources),
            snapshot=SnapshotTold(
                content_hash=plan.snapshot.content_hash,
                images=plan.snapshot.images,
                new=begun.new,
            ),
            data_hash=manifest.get("data", {}).get("hash"),
            config_hash=manifest.get("config_hash"),
            code=manifest.get("code") or manifest.get("growgan"),
            run_folder=self._inside(plan.run.path) if manifest else None,
            version=version,
            content_hash=published.get("content_hash"),
            previous_version=begun.former,
            serving=_stable(project),
            evaluation=scores,
            promoted=promoted,
            gate=gate,
            report=self._inside(report) if report and report.exists() else None,
            pictures=tuple(map(self._inside, sheets_of(plan))),
            curves=self._inside(plan.run.metrics) if plan.run.metrics.exists() else None,
        )

    def _inside(self, path: Path) -> str:
        return path.relative_to(self.plan.project.path).as_posix()


def begun_course(project: Path, run: str) -> Course | None:
    """The course that a run has begun, by the configuration that it began with; None if none.

    Args:
        project: Folder of the project.
        run: Name that the run keeps when it is repeated after a kill.

    Raises:
        UserError: if the snapshot or the configuration is no longer there.
    """
    folder = folder_begun(project, run)
    if folder is None:
        return None
    kept = open_project(project, folder / PIPELINE)
    return Course(plan_of(kept, read_begun(folder).snapshot), folder)


def course_of(project: Project, run: str, *, snapshot: str, trigger: Trigger) -> Course:
    """The course of a run: that which it has begun, or a new one.

    Args:
        project: Project whose run it is; its configuration holds for all of the run.
        run: Name that the run keeps when it is repeated after a kill.
        snapshot: Key of the pictures.
        trigger: Trigger that started it.

    Raises:
        UserError: if the snapshot is not there.
    """
    if begun := begun_course(project.path, run):
        return begun
    plan = plan_of(project, snapshot)
    started = _start_of_next(project)
    folder = project.path / HISTORY / f"{started:%Y%m%d-%H%M%S}-{run}"
    atomic.make_folder(folder)
    keep_settings(project, folder)
    write_begun(
        folder,
        Begun(
            started=started,
            trigger=trigger,
            snapshot=snapshot,
            former=_stable(project),
            new=former_pictures(project).new_in(plan.snapshot),
        ),
    )
    return Course(plan_of(open_project(project.path, folder / PIPELINE), snapshot), folder)


def _start_of_next(project: Project) -> datetime:
    """Return the time of day, or a second after the last start: the clock may have been set back.

    Runs are in the order of their starts, in the history and where new pictures are counted.
    """
    history = history_of(project.path)
    if not history:
        return now()
    return max(now(), history[-1].started + timedelta(seconds=1))


def _stable(project: Project) -> int | None:
    return project.repository.standing(project.config.model).labels.get(LABEL)


def _in_order(steps: Sequence[Step], names: Sequence[str]) -> tuple[Step, ...]:
    known = {step.name: step for step in steps}
    return tuple(known.get(name, Step(name=name, state="skipped")) for name in names)
