"""Read which models to serve, from a repository's folders or from `models.config`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from savedmodels.server.codes import invalid
from savedmodels.server.model_manager import Model
from savedmodels.server.versions import All, Latest, Policy, Specific, list_versions

_URI = re.compile(r"[a-z][a-z0-9.]*://", re.I)


def find_models(repository: Path) -> list[Model]:
    """Find the models in the folders `<repository>/<model>/<version>/`, to serve their latest.

    A repository that holds versions directly is one model with the folder's name.
    """
    if list_versions(repository):
        # Resolve the path, because `.` has no name.
        return [Model(repository.resolve().name, repository)]
    folders = sorted(path for path in repository.iterdir() if path.is_dir())
    return [Model(folder.name, folder) for folder in folders if list_versions(folder)]


def parse_models_config(text: str, repository: Path) -> list[Model]:
    """Parse a `models.config` file; look in the repository for base paths that do not exist here.

    Raises:
        Refused: INVALID_ARGUMENT if the text is invalid or asks for something not supported.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise invalid(f"models.config must be a ModelServerConfig. Received: {error}") from None
    return models_of(config, repository)


def models_of(config: Any, repository: Path) -> list[Model]:
    """Convert a `ModelServerConfig` message, as `parse_models_config` does from text."""
    if config.WhichOneof("config") != "model_config_list":
        raise invalid("ServerModelConfig type not supported: it must be a model_config_list")
    return [_model_of(model, repository) for model in config.model_config_list.config]


def _model_of(config: Any, repository: Path) -> Model:
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
    # Look in our repository too: the file may be made for servers that see it at another path.
    if is_uri or (not base.is_dir() and (repository / base.name).is_dir()):
        base = repository / base.name
    policy = _policy_of(config.model_version_policy)
    return Model(config.name, base, policy, dict(config.version_labels))


def _policy_of(policy: Any) -> Policy:
    match policy.WhichOneof("policy_choice"):
        case "all":
            return All()
        case "specific":
            return Specific(frozenset(policy.specific.versions))
        case _:  # The default, as in TensorFlow Serving.
            return Latest(policy.latest.num_versions)
