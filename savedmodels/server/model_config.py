"""Which models a repository or a `models.config` says are to be served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from savedmodels.server.codes import invalid
from savedmodels.server.model_manager import Model
from savedmodels.server.versions import All, Latest, Policy, Specific, found_in

_URI = re.compile(r"[a-z][a-z0-9.]*://", re.I)


def models_in(repository: Path) -> list[Model]:
    """The models of a repository `<repository>/<model>/<version>/`, with their latest version.

    A folder that holds versions itself is one model, of the folder's name.
    """
    if found_in(repository):
        return [Model(repository.resolve().name, repository)]
    folders = sorted(path for path in repository.iterdir() if path.is_dir())
    return [Model(folder.name, folder) for folder in folders if found_in(folder)]


def read(text: str, repository: Path) -> list[Model]:
    """The models of a file `models.config`.

    A base path that is not there, or is no path of this machine, is looked for in the repository by
    its last name, since the file may have been written for where the repository lies elsewhere.

    Raises:
        Refused: INVALID_ARGUMENT, if it cannot be read or served.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise invalid(f"models.config must be a ModelServerConfig. Received: {error}") from None
    return models_of(config, repository)


def models_of(config: Any, repository: Path) -> list[Model]:
    """The models of a `ModelServerConfig`.

    Raises:
        Refused: INVALID_ARGUMENT, if it cannot be served.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid("ServerModelConfig type not supported: it must be a model_config_list")
    return [_model(one, repository) for one in config.model_config_list.config]


def _model(config: Any, repository: Path) -> Model:
    if config.model_platform != "tensorflow":
        raise invalid(
            f"Model {config.name} requests unsupported platform {config.model_platform!r}: "
            "model_platform must be 'tensorflow'"
        )
    base = Path(config.base_path)
    is_uri = _URI.match(config.base_path)
    if not base.is_absolute() and not is_uri:
        raise invalid(
            f"Expected model {config.name} to have an absolute path or URI; "
            f"got base_path()={config.base_path}"
        )
    if is_uri or (not base.is_dir() and (repository / base.name).is_dir()):
        base = repository / base.name
    policy = _policy(config.model_version_policy)
    return Model(config.name, base, policy, dict(config.version_labels))


def _policy(policy: Any) -> Policy:
    match policy.WhichOneof("policy_choice"):
        case "all":
            return All()
        case "specific":
            return Specific(frozenset(policy.specific.versions))
        case _:
            return Latest(policy.latest.num_versions)
