"""The command line `growgan`: the only place that parses arguments, prints or exits.

Heavy packages are imported inside the commands, so that help answers at once.
"""

from __future__ import annotations

import locale
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from pipeline import exit_status
from pipeline.cli import (
    compare,
    configurations,
    data_check,
    data_prepare,
    data_service,
    data_verify,
    evaluate,
    export,
    features,
    gate,
    generate,
    import_weights,
    pipeline_history,
    pipeline_init,
    pipeline_job,
    pipeline_labels,
    pipeline_run,
    pipeline_up,
    publish,
    serve,
    train,
    verify,
)
from pipeline.cli.lasting_stream import open_closed_streams
from pipeline.cli.options import require_text
from pipeline.errors import AlarmError, UserError, WorkerGone
from pipeline.errors.shown import shown
from pipeline.errors.system import may_pass

app = typer.Typer(
    name="growgan",
    help="Train progressively grown GANs and put every stage into TensorFlow Serving.",
    epilog="Example: growgan train --config quickstart --out runs/first",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Check and prepare pictures for training.", no_args_is_help=True)
scheduled = typer.Typer(
    help="Retrain a model on new pictures and promote it, unattended.", no_args_is_help=True
)


def _with_text_in_paths(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command refuse paths of runs, models and outputs that TensorFlow cannot take."""

    @wraps(callback)
    def command(**given: Any) -> Any:
        # Check only `Path` values. Picture sources are `str`: we read those, and allow any bytes.
        for value in given.values():
            for each in value if isinstance(value, list) else (value,):
                if isinstance(each, Path):
                    require_text(each)
        return callback(**given)

    return command


def _add(group: typer.Typer, *modules: ModuleType, name: str | None = None) -> None:
    for module in modules:
        for command in module.app.registered_commands:
            command.callback = _with_text_in_paths(command.callback)
        group.add_typer(module.app, name=name)


# Help lists commands in this order.
_add(app, train, import_weights, generate, export, verify, evaluate, gate, publish, compare, serve)
_add(app, configurations)
_add(data, data_check, data_prepare, data_verify, data_service)
app.add_typer(data, name="data")
_add(app, features, name="features")
_add(scheduled, pipeline_init, pipeline_run, pipeline_up, pipeline_history, pipeline_labels)
_add(scheduled, pipeline_job)
app.add_typer(scheduled, name="pipeline")


def main() -> None:
    """Run the command line; an error that the user can fix prints one line on standard error."""
    open_closed_streams()  # First: a file opened earlier could get descriptor 0, 1 or 2.
    if not sys.flags.utf8_mode and locale.getencoding().lower() not in ("utf-8", "utf8"):
        # Restart in UTF-8 mode: our files are UTF-8, and Python sets its encoding at start-up.
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)
    # Set before the imports of TensorFlow and Keras, which read these once.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # Silence matplotlib's note on a temporary folder, logged if the home folder is read-only.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

    status = exit_status.USER
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:
        message = error.format_message().replace("Value error, ", "")  # Pydantic's prefix.
        if not message:  # No arguments at all: the help has been printed.
            sys.exit(exit_status.USER)
    except UserError as error:
        message = str(error)
        # The cause may be temporary, such as a full disk; the status then asks for a retry.
        status = exit_status.FILE if may_pass(error) else exit_status.USER
    except AlarmError as error:
        message, status = str(error), exit_status.ALARM
    except OSError as error:  # A full disk, or a place that cannot be read or written.
        message = f"a file could not be read or written: {error}"
        status = exit_status.FILE if may_pass(error) else exit_status.USER
    except WorkerGone as error:
        message, status = str(error), exit_status.WORKER_GONE
    except Exception as error:  # TensorFlow's file errors are not OSErrors.
        if may_pass(error):
            message, status = f"a file could not be read or written: {error}", exit_status.FILE
        elif isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):
            message = f"a path must lead somewhere. Received: {str(error).replace('S', 's', 1)}"
        else:
            raise
    # Write line and newline at once: workers may share a log, and their lines must not mix.
    sys.stderr.write(f"growgan: {shown(message)}\n")
    sys.exit(status)
