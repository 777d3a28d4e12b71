"""Loading of a run's configuration from a preset or YAML file, with `key=value` overrides."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import Tag, ValidationError

from pipeline.config import Config, DataConfig, Section
from pipeline.errors import UserError
from pipeline.families.config import FORMER_KEYS

Checked = TypeVar("Checked", bound=Section)
Override = str | tuple[str, Any]
"""Override of a key: `section.key=value` from the command line, where the value is YAML; or a pair
of `section.key` and value, for paths and names that YAML could read as something else."""

# Replicas, micro-batches and threads belong here, because they change only the order of sums.
EXECUTION_KEYS = (
    "strategy",
    "replicas",
    "tpu",
    "micro_batch",
    "intra_op_threads",
    "memory_gib",
    "log_images",
    "sample_images",
    "checkpoint_images",
    "keep_checkpoints",
    "keep_every_images",
    "keep_best",
    "keep_best_mode",
)
"""Keys of `run` that affect how a run is executed or monitored, but not its result."""

LOCATION_KEYS = ("cache", "records", "servers", "source", "workers")
"""Keys of `data` that affect from where and how images are read, but not their content."""

MONITORING_SECTIONS = ("alarms", "evaluation", "gate")
"""Sections that monitor and judge a run without changing its result."""

_PRESETS = resources.files("pipeline") / "presets"


def preset_names() -> list[str]:
    """List the names of all presets, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in _PRESETS.iterdir()
        if entry.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """Read the YAML text of a preset."""
    if name not in preset_names():
        close = difflib.get_close_matches(name, preset_names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(
            f"`--config` must be a YAML file or one of {', '.join(preset_names())}. "
            f"Received: {name}{hint}"
        )
    return (_PRESETS / f"{name}.yaml").read_text()


def load(name: str, overrides: Sequence[Override] = (), *, data: str | None = None) -> Config:
    """Load a configuration from a preset or YAML file, and apply overrides.

    Later overrides win; `data` replaces `data.source` last.

    Raises:
        UserError: if a file cannot be read, or a key is unknown, of a wrong type or out of range.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise UserError(
                f"`--config` must be a readable file. Received: {name} ({reason})"
            ) from error
    else:
        text = preset_text(name)
    if data is not None:
        # Use a pair: YAML could read a path as something else.
        overrides = [*overrides, ("data.source", data)]
    return config_from(text, overrides, origin=name)


def is_chosen(name: str, overrides: Sequence[Override], key: str) -> bool:
    """Return true if a user set a key: by an override, or because `name` is the user's own file."""
    given = (
        each.partition("=")[0].strip() if isinstance(each, str) else each[0] for each in overrides
    )
    return Path(name).suffix in (".yaml", ".yml") or key in given


def config_from(text: str, overrides: Sequence[Override] = (), *, origin: str) -> Config:
    """Parse YAML text as a configuration, with overrides; `origin` names the text in errors."""
    values = _parse(text, origin)
    if not isinstance(values, dict):
        raise UserError(f"a configuration must be a mapping of sections. Received: {origin}")
    for override in overrides:
        _override(values, override)
    return validate(Config, values)


def data_config(values: Mapping[str, Any]) -> DataConfig:
    """Make only the section `data`, from its keys and values."""
    return validate(DataConfig, values, "data", root=Config)


def decisive_settings(config: Config) -> dict[str, Any]:
    """Return the keys that affect a run's result, as `section.key`, with their values.

    A run may resume only if these are equal; folders of pipeline runs are named by their hash.
    """
    free = {f"run.{name}" for name in EXECUTION_KEYS}
    free |= {f"data.{name}" for name in LOCATION_KEYS}
    sections = config.model_dump()
    # Stay equal to hashes of earlier versions, which had the former keys, and no width.
    sections["network"] = {**FORMER_KEYS, **sections["network"]}
    if sections["schedule"]["width"] is None:
        del sections["schedule"]["width"]
    return {
        f"{section}.{key}": value
        for section, values in sections.items()
        if section not in MONITORING_SECTIONS
        for key, value in values.items()
        if f"{section}.{key}" not in free
    }


def differences(before: Config, after: Config) -> list[str]:
    """List the differences that affect a run's result, as `section.key: before → after`."""
    old, new = decisive_settings(before), decisive_settings(after)
    return [
        f"{key}: {old.get(key)} → {new.get(key)}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def validate(
    model: type[Checked], values: Any, *section: str, root: type[Section] | None = None
) -> Checked:
    """Check untrusted values, and make a section of them.

    Args:
        model: Class of the section.
        values: Values of the section's keys.
        section: Path of keys from `root` to the section; empty if the section is the root.
        root: Class of the outermost section, from which errors name keys; None for `model`.

    Raises:
        UserError: if a key is unknown, missing, of a wrong type or out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = [{**detail, "loc": (*section, *detail["loc"])} for detail in error.errors()]
        # Report one error per key: pydantic reports one for each type that a key accepts. Sort, so
        # that an error about a plain value comes before one about a mapping.
        details.sort(key=lambda detail: isinstance(detail["input"], Mapping))
        explained: dict[str, str] = {}
        for detail in details:
            key = ".".join(_location(detail, root or model)[0])
            explained.setdefault(key, _explain(detail, root or model))
        raise UserError("; ".join(explained.values())) from error


def _parse(text: str, origin: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"a configuration must be YAML. Received: {origin}: {reason}") from error


def _override(values: dict[str, Any], override: Override) -> None:
    key, value = _parsed(override) if isinstance(override, str) else override
    section, _, name = key.partition(".")
    keys = values.setdefault(section, {})
    if not isinstance(keys, dict):
        raise UserError(f"`{section}` must be a section of keys. Received: {keys}")
    keys[name] = value


def _parsed(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or key.count(".") != 1:
        raise UserError(f"`--set` must be section.key=value. Received: {override}")
    return key.strip(), _parse(text, override)


def _location(detail: Any, root: type[Section]) -> tuple[list[str], list[str]]:
    """Return the path of keys to an error, and the valid keys where it ends.

    Where a key accepts several sections, pydantic inserts the name of the chosen section.
    """
    # Drop parts such as `function-after[…]`, which are pydantic's and no keys.
    parts = [part for part in detail["loc"] if isinstance(part, str) and "[" not in part]
    path, rest, fields = parts[:1], parts[1:], root.model_fields
    while rest and path[-1] in fields:
        sections = _sections(fields[path[-1]].annotation)
        if not sections:
            break
        chosen = sections.get(rest[0])
        if chosen is not None:
            rest = rest[1:]
        fields = (chosen or next(iter(sections.values()))).model_fields
        path += rest[:1]
        rest = rest[1:]
    return path, list(fields)


def _sections(annotation: Any, name: str = "") -> dict[str, type[Section]]:
    """Return the sections that a key accepts, by the names that pydantic uses for them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return {name or annotation.__name__: annotation}
    tags = [each.tag for each in get_args(annotation) if isinstance(each, Tag)]
    return {
        key: section
        for each in get_args(annotation)
        for key, section in _sections(each, *tags).items()
    }


def _explain(detail: Any, root: type[Section]) -> str:
    """Explain an error of pydantic in a line: the rule, and the received value."""
    location, known = _location(detail, root)
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], sorted(known), n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"`{key}` is no known key{hint}. Known here: {', '.join(sorted(known))}"
    if detail["type"] == "union_tag_invalid":
        expected, received = detail["ctx"]["expected_tags"], detail["ctx"]["tag"]
        return f"`{key}.family` must be one of {expected}. Received: {received}"
    if detail["type"] == "missing":
        return f"`{key}` must be set. Received: nothing"
    rule = detail["msg"].removeprefix("Value error, ")
    # Keep messages of our own validators, which are complete.
    if "Received:" in rule:
        return rule
    rule = rule[0].lower() + rule[1:]
    rule = rule.replace("input should be", "must be").replace("input should", "must")
    return f"`{key}` {rule}. Received: {detail['input']}"
