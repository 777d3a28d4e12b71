"""Command `growgan publish`: versions and labels in a model repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.console import terminal
from pipeline.cli.options import user_errors
from pipeline.errors import UserError
from savedmodels.access import TOKEN_VARIABLE

if TYPE_CHECKING:
    from rich.console import Console

    from savedmodels.repository.repository import Repository

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan publish runs/first models --model faces --label stable "
    "--server http://127.0.0.1:8501\n\ngrowgan publish models --model faces --rollback "
    "--server http://127.0.0.1:8501\n\ngrowgan publish models --list"
)
def publish(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RUN_OR_SAVEDMODEL] REPOSITORY",
            help="To publish: a run (its newest export) or a SavedModel, then the repository. To "
            "move labels, list or remove versions: only the repository.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="Name of the model, a folder in the repository.")
    ] = None,
    label: Annotated[
        Literal["stable", "canary"] | None,
        typer.Option(help="Move this label to the version, once servers have loaded it."),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(min=1, help="Existing version to which --label moves. (default: the newest)"),
    ] = None,
    rollback: Annotated[
        bool,
        typer.Option(
            "--rollback", help="Move the label (default: stable) back to its previous version."
        ),
    ] = False,
    no_verify: Annotated[
        bool,
        typer.Option(
            "--no-verify",
            help="Publish without verifying; use only after `growgan verify` has passed.",
        ),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Remove old versions, except the N newest and those that labels need.",
        ),
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="REST URL of a server that watches the repository; repeat for each server. Sends "
            f"the API token in ${TOKEN_VARIABLE}, if set.",
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Seconds to wait until servers have loaded the version."
        ),
    ] = 300.0,
    unwatched: Annotated[
        bool,
        typer.Option(
            "--unwatched", help="Move labels without waiting: no server watches the repository."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Move `stable` even if the gate failed the version.")
    ] = False,
    served_at: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Path of the repository as servers see it, such as /models; stored for next time.",
        ),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Print versions, labels and scores; change nothing.")
    ] = False,
    diff: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="Print the differences between versions A and B."),
    ] = None,
) -> None:
    """Publish a SavedModel as the next version of a model, and move labels to versions.

    New content is verified first, as by `growgan verify`. A version appears complete or not at all;
    content that was published before gets no second version. A label moves when every --server has
    loaded the version; until then the old version keeps serving. Exit status 4 if the gate failed
    the version for `stable`, 5 if the SavedModel fails its verification, 75 if a label still waits
    for servers (then repeat the command).
    """
    from pipeline.cli.publishing import change, repository_errors
    from savedmodels.access import authorization
    from savedmodels.repository.repository import Repository
    from savedmodels.repository.servers import Watchers, server_url

    if len(paths) > 2:
        raise UserError(
            f"there must be one source and one repository. Received: {', '.join(map(str, paths))}"
        )
    source, repository = (paths[0] if len(paths) == 2 else None), paths[-1]
    asked = {"--list": listing, "--diff": diff is not None, "--rollback": rollback}
    given = [name for name, used in asked.items() if used]
    if len(given) > 1 or (given and (source or version is not None)):
        raise UserError(
            "`--list`, `--diff` and `--rollback` must come alone, without a source or `--version`. "
            f"Received: {' and '.join(given)}"
        )
    if version is not None and (source is not None or label is None):
        raise UserError(
            "`--version` goes with `--label` and without a source. Received: "
            + (f"the source {source}" if source else "no label")
        )
    if no_verify and source is None:
        raise UserError("`--no-verify` goes with a source. Received: none")
    if unwatched and server:
        raise UserError("`--unwatched` goes without `--server`. Received: both")
    for url in server or []:
        try:
            server_url(url)
        except ValueError as error:
            raise UserError(f"`--server` {error}. Received: {url}") from error
    if server:
        # Check the token now: an error raised here does not show it.
        with user_errors(ValueError):
            authorization()
    console, place = terminal(), Repository(repository)
    watchers = Watchers(tuple(server or ()), wait, unwatched)
    with repository_errors():
        if listing:
            _list(console, place, model)
            return
        if model is None:
            raise UserError("no model given: pass --model NAME")
        if diff is not None:
            _diff(console, place, model, diff)
            return
        if not (source or label or rollback or keep or served_at):
            raise UserError(
                "nothing to do: pass a source, `--label`, `--rollback`, `--keep`, `--served-at`, "
                "`--list` or `--diff`"
            )
        change(
            console,
            place,
            model,
            source,
            label=label or ("stable" if rollback else None),
            verify=not no_verify,
            version=version,
            rollback=rollback,
            keep=keep,
            watchers=watchers,
            force=force,
            served_at=served_at,
        )


def _list(console: Console, repository: Repository, model: str | None) -> None:
    from pipeline.cli.version_tables import show_versions

    folder = repository.path if model is None else repository.folder_of(model)
    if not folder.is_dir():
        what = "repository" if model is None else "model"
        raise UserError(f"the {what} must exist. Received: {folder}, which does not")
    for name in repository.models() if model is None else [model]:
        show_versions(console, name, repository.versions(name))


def _diff(console: Console, repository: Repository, model: str, diff: tuple[int, int]) -> None:
    from pipeline.cli.version_tables import show_differences
    from savedmodels.repository.differences import differences_between

    first, second = (repository.publication(model, version) for version in diff)
    show_differences(console, diff, differences_between(first, second))
