"""`growgan publish`: versions and labels of the models that TensorFlow Serving watches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.options import terminal
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
            help="What is published: a run, for its newest export, or a SavedModel; and the "
            "repository. The repository alone for what is in it.",
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
        typer.Option(min=1, help="With --label: a version that is there. (default: the newest)"),
    ] = None,
    rollback: Annotated[
        bool,
        typer.Option(
            "--rollback", help="Move the label (default: stable) back to where it stood before."
        ),
    ] = False,
    no_verify: Annotated[
        bool,
        typer.Option("--no-verify", help="Publish what `growgan verify` has passed already."),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Remove all but the N newest versions, and those that labels need.",
        ),
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="REST interface of a server that watches the repository; name each of them. What "
            f"asks for an API token is given that of ${TOKEN_VARIABLE}.",
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long servers are waited for.")
    ] = 300.0,
    unwatched: Annotated[
        bool,
        typer.Option("--unwatched", help="No server watches yet: labels move without waiting."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Move `stable` to what the gate has failed.")
    ] = False,
    served_at: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The repository's path as servers see it, such as /models; kept for later.",
        ),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Show versions, labels and scores, and change nothing.")
    ] = False,
    diff: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="Show what differs between two versions."),
    ] = None,
) -> None:
    """Publish a SavedModel as the next version of a model, and move labels to versions.

    What is new is verified first, as by `growgan verify`. A version appears whole or not at all;
    content that is there already is not published twice. A label moves when every --server has
    loaded the version; until then all that serves goes on serving. Exit status 4 if the gate has
    failed what `stable` was to move to, 5 if the SavedModel fails its verification, 75 if a label
    waits for servers: the same command goes on.
    """
    from pipeline.cli.publishing import change, refusals
    from pipeline.errors import UserError
    from savedmodels.access import authorization
    from savedmodels.repository.repository import Repository
    from savedmodels.repository.servers import Watchers, server_url

    source, repository = _split(paths)
    asked = {"--list": listing, "--diff": diff is not None, "--rollback": rollback}
    given = [name for name, used in asked.items() if used]
    if len(given) > 1 or (given and (source or version is not None)):
        raise UserError(
            "`--list`, `--diff` and `--rollback` each stand without another, a source and "
            f"`--version`. Received: {' and '.join(given)}"
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
        try:
            authorization()
        except ValueError as error:
            raise UserError(str(error)) from error
    console, place = terminal(), Repository(repository)
    watchers = Watchers(tuple(server or ()), wait, unwatched)
    with refusals():
        if listing:
            _list(console, place, model)
            return
        if model is None:
            raise UserError("`--model` must name the model. Received: none")
        if diff is not None:
            _diff(console, place, model, diff)
            return
        if not (source or label or rollback or keep or served_at):
            raise UserError(
                "there must be something to do: a source, `--label`, `--rollback`, `--keep`, "
                "`--served-at`, `--list` or `--diff`. Received: none"
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


def _split(paths: list[Path]) -> tuple[Path | None, Path]:
    """The source, if there is one, and the repository."""
    from pipeline.errors import UserError

    if len(paths) > 2:
        raise UserError(
            f"there must be one source and one repository. Received: {', '.join(map(str, paths))}"
        )
    return (paths[0] if len(paths) == 2 else None), paths[-1]


def _list(console: Console, repository: Repository, model: str | None) -> None:
    from pipeline.cli.version_tables import show_versions
    from pipeline.errors import UserError

    folder = repository.path if model is None else repository.folder_of(model)
    if not folder.is_dir():
        what = "repository" if model is None else "model"
        raise UserError(f"the {what} must be there. Received: {folder}, which is not")
    for name in repository.models() if model is None else [model]:
        show_versions(console, name, repository.versions(name))


def _diff(console: Console, repository: Repository, model: str, diff: tuple[int, int]) -> None:
    from pipeline.cli.version_tables import show_differences
    from savedmodels.repository.differences import differences

    one, other = (repository.publication(model, version) for version in diff)
    show_differences(console, diff, differences(one, other))
