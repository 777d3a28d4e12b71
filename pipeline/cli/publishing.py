"""Change a model in its repository: `growgan publish` and `growgan pipeline promote, rollback`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from pipeline import exit_status
from pipeline.cli.console import fail, say
from pipeline.cli.next_commands import quote
from pipeline.cli.verify import run_verification
from pipeline.errors import UserError
from pipeline.evaluation.publication import to_publish
from savedmodels.repository.errors import GateRefused, RepositoryError
from savedmodels.repository.publisher import Label, Promotion, publisher_of, require_gate
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About, Gate, files_of, versions_in


@contextmanager
def repository_errors() -> Iterator[None]:
    """Convert errors of the repository in the block to one line and an exit status (gate: 4)."""
    try:
        yield
    except GateRefused as error:
        fail(str(error), exit_status.GATE)
    except RepositoryError as error:
        raise UserError(str(error)) from error


def change(
    console: Console,
    repository: Repository,
    model: str,
    source: Path | None = None,
    *,
    label: Label | None,
    verify: bool = True,
    version: int | None = None,
    rollback: bool = False,
    keep: int | None = None,
    watchers: Watchers,
    gate: Gate | None = None,
    force: bool = False,
    served_at: str | None = None,
) -> None:
    """Publish, move a label and remove old versions, as requested, and print the changes.

    Args:
        console: Console to write to.
        repository: Repository to change.
        model: Name of the model.
        source: Run or SavedModel to publish; None to publish nothing.
        label: Label to move; None to move none.
        verify: True to verify new content first.
        version: Version to move the label to; None for the published one, or else the newest.
        rollback: True to move the label back instead.
        keep: Number of newest versions to keep; None for all.
        watchers: Servers that must load the version.
        gate: Latest decision of the gate on the version; None for the one stored with it.
        force: True to move the label even if the gate failed the version.
        served_at: New path of the repository as servers see it; None to keep the present one.

    Raises:
        RepositoryError: if the repository refuses.
    """
    # Refuse a run: paths in the wrong order would publish into it.
    if repository.path.is_file() or (repository.path / "config.yaml").is_file():
        raise UserError(
            f"`REPOSITORY` must not be the folder of a run. Received: {repository.path}"
        )
    savedmodel, known = (None, About()) if source is None else to_publish(source)
    gate = gate or known.gate
    if label is not None and not rollback:
        # Check the gate now; the publisher checks again, but only after the slow verification.
        require_gate(label, gate, force=force)
    if savedmodel is None and model not in repository.models():
        raise UserError(
            f"a version of the model must have been published before. Received: {model} in "
            f"{repository.path}"
        )
    if savedmodel is not None or served_at is not None:
        repository.require_servable(served_at)  # Also before the slow verification.
    files: Mapping[str, str] | None = None
    if savedmodel is not None:
        # Hash before the verification, so that exactly the verified files are published.
        files = files_of(savedmodel)
        if verify and repository.version_of(model, files) is None:
            _require_verified(console, savedmodel)
    promotion = None
    with publisher_of(
        repository,
        model,
        served_at=served_at,
        on_wait=lambda lock: say(console, f"waiting for another publisher, which holds {lock}"),
    ) as publisher:
        if savedmodel is not None:
            published = publisher.publish(savedmodel, known, files)
            version = published.version
            done = "published" if published.new else "there already, with the same content"
            say(console, f"{done}: {publisher.folder / str(version)}")
        if label is not None:
            if rollback:
                promotion = publisher.roll_back(label, watchers)
            else:
                version = version or max(versions_in(publisher.folder), default=None)
                if version is None:
                    raise RepositoryError(
                        "a label moves only to a version that exists. "
                        f"Received: {publisher.folder}, which has none"
                    )
                promotion = publisher.promote(label, version, watchers, gate=gate, force=force)
            _print_promotion(console, promotion)
            if label == "stable" and savedmodel is not None and gate is None:
                why = "the gate has not judged these scores: run `growgan gate`"
                if known.config is None:
                    why = (
                        f"{savedmodel} is not in a run, so its scores and the gate's decision on "
                        "them are unknown"
                    )
                say(console, f"note: {why}")
        if keep is not None:  # After the label has moved: versions with labels are kept.
            for removed in publisher.retain(keep):
                say(console, f"removed: {publisher.folder / str(removed)}")
    say(console, f"servers read: {repository.models_config}")
    if promotion is not None and not promotion.moved:
        raise typer.Exit(exit_status.AGAIN)


def _require_verified(console: Console, savedmodel: Path) -> None:
    # Run each signature once: latencies are not shown here.
    verification = run_verification(
        console, savedmodel, runs=1, otherwise="--no-verify to publish it as it is"
    )
    if not verification.passed:
        fail(
            "a SavedModel must pass `growgan verify` before it is published. "
            f"Received: {savedmodel}, which fails: {verification.reason}; "
            f"to see all of it: growgan verify {quote(str(savedmodel))}",
            exit_status.VERIFY,
        )
    say(console, f"verified: {verification.comparison}")


def _print_promotion(console: Console, promotion: Promotion) -> None:
    where = "no version" if promotion.version is None else f"version {promotion.version}"
    if promotion.moved:
        say(console, f"{promotion.label}: stands at {where}")
        if promotion.reason:
            say(console, f"note: {promotion.reason}")
    else:
        say(console, f"{promotion.label}: waits for {where}; {promotion.reason}")
