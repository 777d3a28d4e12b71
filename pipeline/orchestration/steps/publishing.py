"""Steps from the trained model to a version that serves: verify, publish, promote and test."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.evaluation.publication import about
from pipeline.exit_status import AGAIN
from pipeline.orchestration.commands import Log
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import LABEL, Project
from pipeline.orchestration.runs.failure import StepFailed, failure_of
from pipeline.orchestration.steps import smoke
from pipeline.orchestration.steps.step import Done, run_growgan
from savedmodels.locks import Busy
from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.publisher import publisher_of
from savedmodels.repository.servers import that_answer

OWN_SERVERS = 3
"""Number of own servers to start before a version fails its test, as one may be killed."""
TO_FINISH = 5.0
"""Seconds to wait for servers when the caller will try again soon."""


def savedmodel(plan: Plan, log: Log) -> Done:
    """Verify that the SavedModel of the last stage answers in clean processes as at its export."""
    folder = plan.run.newest_export()
    new = plan.read_note("verified") is None
    if new:
        run_growgan(plan, log, "verify", str(folder), "--runs", "5")
        plan.write_note("verified", savedmodel=str(folder.relative_to(plan.project.path)))
    return Done({"loaders": "all answer as at the export"}, new, files={"SavedModel": folder})


def published_version(plan: Plan, log: Log, former: int | None) -> Done:
    """Publish the SavedModel as a version of the repository, and move `stable` to it.

    Raises:
        StepFailed: if servers do not load it, or another version was promoted meanwhile; the label
            then stays where it is.
    """
    project, repository = plan.project, plan.project.repository
    noted, before = plan.read_note("published"), plan.read_end()
    if noted is not None and before is not None and before.verdict == "promoted":
        # A choice that was made after that promotion stays.
        return Done({"version": noted["version"]}, new=False)
    folder = plan.run.newest_export()
    lineage = json.loads((folder / "assets.extra" / "manifest.json").read_text())
    known = about(plan.run, lineage["images_seen"])
    with _publisher(plan, log) as publisher:
        published = publisher.publish(folder, known)
        # The gate has compared with that version, and with no other.
        serves = publisher.standing().labels.get(LABEL)
        if serves not in (former, published.version):
            raise StepFailed(
                f"`{LABEL}` must serve version {former}, as when the run began, or a later choice "
                f"would be lost; version {published.version} is published. Received: "
                f"version {serves}"
            )
        promotion = publisher.promote(LABEL, published.version, project.watchers, gate=known.gate)
        if promotion.moved and project.config.repository.keep is not None:
            publisher.retain(project.config.repository.keep)
    if not promotion.moved:
        raise StepFailed(
            f"`{LABEL}` waits for version {published.version}: {promotion.reason}",
            status=AGAIN,
            may_pass=True,
        )
    # Noted last: a kill before this repeats the step, which then finds the version published.
    content = repository.publication(project.config.model, published.version).content_hash
    plan.write_note(
        "published",
        version=published.version,
        content_hash=content,
        run=str(plan.run.path.relative_to(project.path)),
        destination=plan.destination,
    )
    return Done(
        {"version": published.version, "content hash": content},
        new=published.new,
        files={"version": repository.folder_of(project.config.model) / str(published.version)},
    )


def smoke_test(plan: Plan, log: Log) -> Done:
    """Test that servers answer for `stable` with the new version; else roll it back.

    Raises:
        StepFailed: if one does not, or cannot be asked; or if `stable` was moved meanwhile.
    """
    noted = plan.read_note("published")
    assert noted is not None
    version: int = noted["version"]
    if plan.read_note("tested") is not None:
        return Done({"version": version}, new=False)
    known: str | None = noted.get("fault")
    serves = plan.project.stable_version
    if serves != version and known is not None:  # A kill came after the roll back.
        reason = f"{known}; `{LABEL}` serves version {serves}"
        raise StepFailed(reason, ending="rolled back", status=AGAIN)
    if serves != version:
        raise StepFailed(
            f"`{LABEL}` must serve version {version} to be tested; a choice that was made "
            f"meanwhile stays. Received: version {serves}"
        )
    fault = known or _fault_of(plan, version)
    if fault is not None:
        # Noted first: a repeat after a kill goes on with the roll back, and tests nothing anew.
        plan.write_note("published", **{**noted, "fault": fault})
        raise _rolled_back(plan, version, fault, log)
    plan.write_note("tested", version=version)
    servers = ", ".join(plan.project.config.repository.servers)
    return Done({"version": version, "servers": servers or "one of our own"}, new=True)


def finish_roll_back(project: Project) -> int | None:
    """Continue a roll back that waits for servers, once one of them answers.

    Returns:
        The version that `stable` is back at by this call; None if there was nothing to do, the
        roll back still waits, or another process is publishing.
    """
    model, repository = project.config.model, project.repository
    pending = repository.standing(model).pending.get(LABEL)
    if pending is None or not pending.back:
        return None
    answering = replace(that_answer(project.watchers, model), seconds=TO_FINISH)
    if not answering.servers:
        return None

    def leave(lock: Path) -> None:
        raise Busy(str(lock))

    # The state is read again under the lock, as another publisher may have changed it.
    with suppress(Busy), publisher_of(repository, model, on_wait=leave) as publisher:
        if publisher.standing().pending.get(LABEL) == pending:
            promotion = publisher.roll_back(LABEL, answering)
            return promotion.version if promotion.moved else None
    return None


def _publisher(plan: Plan, log: Log) -> Any:
    given = plan.project.config
    return publisher_of(
        plan.project.repository,
        given.model,
        served_at=given.repository.served_at,
        on_wait=lambda lock: log(f"waiting for another publisher, which holds {lock}"),
    )


def _fault_of(plan: Plan, version: int) -> str | None:
    """Return the fault of servers' answers for `stable`, None if they have none."""
    project = plan.project
    model, repository, given = project.config.model, project.repository, project.config.repository
    folder = repository.folder_of(model) / str(version)
    log = project.logs / f"{plan.key}-serve.log"
    fault: str | None = None
    for _ in range(1 if given.servers else OWN_SERVERS):
        try:
            with ExitStack() as own:
                servers = given.servers or [
                    own.enter_context(smoke.own_server(repository.path, log))
                ]
                found = (smoke.faults(server, model, LABEL, version, folder) for server in servers)
                fault = next(filter(None, found), None)
        except Exception as error:  # A version that cannot be tested must not serve.
            fault = failure_of(error).reason
        if fault is None:
            break
    return fault


def _rolled_back(plan: Plan, version: int, fault: str, log: Log) -> StepFailed:
    """Move `stable` back from a version, and return the failure of the step."""
    project = plan.project
    # To wait for a server that is away would leave the version on those that answer.
    answering = that_answer(project.watchers, project.config.model)
    watchers = answering if answering.servers else project.watchers
    try:
        with _publisher(plan, log) as publisher:
            serves = publisher.standing().labels.get(LABEL)
            if serves != version:
                result = f"`{LABEL}` was moved to version {serves} meanwhile, and stays"
                return StepFailed(f"{fault}; {result}", ending="rolled back", status=AGAIN)
            promotion = publisher.roll_back(LABEL, watchers)
    except RepositoryError as error:
        return StepFailed(f"{fault}; `{LABEL}` stays: {error}", status=AGAIN)
    if not promotion.moved:
        result = f"`{LABEL}` goes back to version {promotion.version} later: {promotion.reason}"
        return StepFailed(f"{fault}; {result}", status=AGAIN, may_pass=True)
    result = f"`{LABEL}` is back at version {promotion.version}"
    return StepFailed(f"{fault}; {result}", ending="rolled back", status=AGAIN)
