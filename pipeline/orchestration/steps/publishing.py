"""Steps from the trained model to a served version: verify, publish, promote and smoke-test it."""

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
from savedmodels.repository.servers import drop_silent_servers

OWN_SERVERS = 3
"""Maximum number of attempts to test with a server of our own: something may kill one."""
ROLL_BACK_SECONDS = 5.0
"""Seconds for which `finish_roll_back` waits for servers; its caller tries again soon."""


def savedmodel(plan: Plan, log: Log) -> Done:
    """Verify in clean processes that the last stage's SavedModel answers as at its export."""
    folder = plan.run.newest_export()
    new = plan.read_note("verified") is None
    if new:
        run_growgan(plan, log, "verify", str(folder), "--runs", "5")
        plan.write_note("verified", savedmodel=str(folder.relative_to(plan.project.path)))
    return Done({"loaders": "all answer as at the export"}, new, files={"SavedModel": folder})


def published_version(plan: Plan, log: Log, former: int | None) -> Done:
    """Publish the SavedModel as a version of the repository, and move `stable` to it.

    Raises:
        StepFailed: if servers do not load the version, or somebody moved `stable` meanwhile; the
            label then stays where it is.
    """
    project, repository = plan.project, plan.project.repository
    noted, before = plan.read_note("published"), plan.read_end()
    if noted is not None and before is not None and before.verdict == "promoted":
        # Do not promote again: somebody may have moved the label since.
        return Done({"version": noted["version"]}, new=False)
    folder = plan.run.newest_export()
    lineage = json.loads((folder / "assets.extra" / "manifest.json").read_text())
    known = about(plan.run, lineage["images_seen"])
    with _publisher(plan, log) as publisher:
        published = publisher.publish(folder, known)
        # Refuse if `stable` was moved: the gate has compared with `former` only.
        serves = publisher.label_state().labels.get(LABEL)
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
    # Write the note last: after a kill before this, the step repeats and finds the version.
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
    """Test that servers answer for `stable` with the new version; if not, roll `stable` back.

    Raises:
        StepFailed: if a server answers wrongly or not at all, or `stable` was moved meanwhile.
    """
    noted = plan.read_note("published")
    assert noted is not None
    version: int = noted["version"]
    if plan.read_note("tested") is not None:
        return Done({"version": version}, new=False)
    known: str | None = noted.get("fault")
    serves = plan.project.stable_version
    if serves != version and known is not None:  # An attempt was killed after its roll back.
        reason = f"{known}; `{LABEL}` serves version {serves}"
        raise StepFailed(reason, ending="rolled back", status=AGAIN)
    if serves != version:
        raise StepFailed(
            f"`{LABEL}` must serve version {version} to be tested; a choice that was made "
            f"meanwhile stays. Received: version {serves}"
        )
    fault = known or _fault_of(plan, version)
    if fault is not None:
        # Write the note first: after a kill, the repeat rolls back without another test.
        plan.write_note("published", **{**noted, "fault": fault})
        raise _roll_back(plan, version, fault, log)
    plan.write_note("tested", version=version)
    servers = ", ".join(plan.project.config.repository.servers)
    return Done({"version": version, "servers": servers or "one of our own"}, new=True)


def finish_roll_back(project: Project) -> int | None:
    """Complete a roll back that was waiting for servers, if one of them answers now.

    Returns:
        The version that this call has moved `stable` back to; None if there was nothing to do, the
        roll back still waits, or another process is publishing.
    """
    model, repository = project.config.model, project.repository
    pending = repository.label_state(model).pending.get(LABEL)
    if pending is None or not pending.back:
        return None
    answering = replace(drop_silent_servers(project.watchers, model), seconds=ROLL_BACK_SECONDS)
    if not answering.servers:
        return None

    def do_not_wait(lock: Path) -> None:
        raise Busy(str(lock))

    # Read the state again under the lock: another publisher may have changed it.
    with suppress(Busy), publisher_of(repository, model, on_wait=do_not_wait) as publisher:
        if publisher.label_state().pending.get(LABEL) == pending:
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
    """Test the servers, or a server of our own; return the first fault, None without one."""
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
                faults = (
                    smoke.find_fault(server, model, LABEL, version, folder) for server in servers
                )
                fault = next(filter(None, faults), None)
        except Exception as error:  # A version that cannot be tested must not stay promoted.
            fault = failure_of(error).reason
        if fault is None:
            break
    return fault


def _roll_back(plan: Plan, version: int, fault: str, log: Log) -> StepFailed:
    """Move `stable` back to the version before, and return the failure of the step."""
    project = plan.project
    # Do not wait for servers that are away: the others would go on serving the faulty version.
    answering = drop_silent_servers(project.watchers, project.config.model)
    watchers = answering if answering.servers else project.watchers
    try:
        with _publisher(plan, log) as publisher:
            serves = publisher.label_state().labels.get(LABEL)
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
