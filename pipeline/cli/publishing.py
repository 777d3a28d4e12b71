"""Changes of a model in its repository, as several commands make them and tell of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from pipeline import exit_status
from pipeline.cli.next_commands import quoted
from pipeline.cli.tables import say
from pipeline.cli.verify import verified
from pipeline.errors import UserError
from pipeline.evaluation.publication import to_publish
from savedmodels.repository.errors import GateRefused, RepositoryError
from savedmodels.repository.publisher import (
    Label,
    Promotion,
    Publisher,
    publisher_of,
    require_gate,
)
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About, Gate, files_of, versions_in


@contextmanager
def refusals() -> Iterator[None]:
    """A block in which what a repository refuses is one line and an exit status."""
    try:
        yield
    except GateRefused as error:
        typer.echo(f"growgan: {error}", err=True)
        raise typer.Exit(exit_status.GATE) from error
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
    """Publish, move a label and remove old versions, each if it is asked for, and say so.

    Args:
        console: Console to write to.
        repository: Repository that is changed.
        model: Its name.
        source: A run or a SavedModel to publish.
        label: Label to move.
        verify: Whether what is new has to pass its verification first.
        version: Version to move it to, None for the published one, or else the newest.
        rollback: Whether the label moves back instead.
        keep: Newest versions that are kept, None for all.
        watchers: The servers that have to load the version.
        gate: Latest decision on the version that a label moves to; None for what was noted
            when that was published.
        force: Whatever the gate decided.
        served_at: The repository's path as servers see it, from now on.

    Raises:
        UserError: if nothing of the model was published, or the source cannot be.
        RepositoryError: if the repository refuses.
        Exit: if what is new fails its verification, or the label waits for servers.
    """
    if repository.path.is_file() or (repository.path / "config.yaml").is_file():
        raise UserError(
            f"`REPOSITORY` must be a folder that is no run's. Received: {repository.path}"
        )
    savedmodel, known = (None, About()) if source is None else to_publish(source)
    gate = gate or known.gate
    if label is not None and not rollback:
        require_gate(label, gate, force=force)
    if savedmodel is None and model not in repository.models():
        raise UserError(
            f"something of the model must have been published. Received: {model} in "
            f"{repository.path}"
        )
    if savedmodel is not None or served_at is not None:
        repository.require_servable(served_at)
    files: Mapping[str, str] | None = None
    if savedmodel is not None:
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
                version = version or _newest(publisher)
                promotion = publisher.promote(label, version, watchers, gate=gate, force=force)
            _tell(console, promotion)
            if label == "stable" and savedmodel is not None and gate is None:
                say(console, f"note: {_why_not_judged(savedmodel, known)}")
        if keep is not None:
            for removed in publisher.retain(keep):
                say(console, f"removed: {publisher.folder / str(removed)}")
    say(console, f"servers read: {repository.models_config}")
    if promotion is not None and not promotion.moved:
        raise typer.Exit(exit_status.AGAIN)


def _why_not_judged(savedmodel: Path, known: About) -> str:
    if known.config is None:
        return (
            f"{savedmodel} does not lie in a run: nothing is known of its scores, or of what the "
            "gate decided of them"
        )
    return "the gate was not asked about these scores, by `growgan gate`"


def _newest(publisher: Publisher) -> int:
    there = versions_in(publisher.folder)
    if not there:
        raise RepositoryError(
            "a label moves to a version that is there. "
            f"Received: {publisher.folder}, which has none"
        )
    return max(there)


def _require_verified(console: Console, savedmodel: Path) -> None:
    # Latencies are not told here, so each signature is asked only once more.
    verification = verified(
        console, savedmodel, runs=1, otherwise="--no-verify to publish it as it is"
    )
    if verification.passed:
        say(console, f"verified: {verification.held_to}")
        return
    typer.echo(
        "growgan: a SavedModel must pass `growgan verify` before it is published. "
        f"Received: {savedmodel}, which fails: {verification.reason}; "
        f"to see all of it: growgan verify {quoted(str(savedmodel))}",
        err=True,
    )
    raise typer.Exit(exit_status.VERIFY)


def _tell(console: Console, promotion: Promotion) -> None:
    where = "no version" if promotion.version is None else f"version {promotion.version}"
    if promotion.moved:
        say(console, f"{promotion.label}: stands at {where}")
        if promotion.reason:
            say(console, f"note: {promotion.reason}")
    else:
        say(console, f"{promotion.label}: waits for {where}; {promotion.reason}")
