"""File of a data contract: YAML with the meaning above each rule, beside its reference's report."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.data.checking.contract import Contract, Rules, derived
from pipeline.data.checking.report import Survey, read_report, report_text
from pipeline.errors import UserError
from savedmodels.atomic import write_file

COMMENT_WIDTH = 96


def write_contract(path: Path, survey: Survey) -> None:
    """Write the contract derived from a set, and beside it the report of that set.

    Raises:
        OSError: if they cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    reference = path.with_suffix(".reference.json")
    # Before the contract, which is of no use without it.
    write_file(reference, report_text(survey))
    title = f"Rules for sets like {survey.source}. A deleted rule is not enforced."
    contract = derived(survey, reference.name)
    write_file(path, "".join([*_commented(title, ""), *_lines(contract, "")]))


def read_contract(path: Path) -> tuple[Contract, Survey | None]:
    """Read a contract, and the report of the reference set if it bounds the shift.

    Raises:
        UserError: if it cannot be read, has an unknown rule or an invalid value, or its
            reference is missing.
    """
    try:
        contract = Contract.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"a contract must be a readable YAML file. Received: {reason}") from error
    except ValidationError as error:
        faults = "; ".join(map(_fault, error.errors()))
        known = ", ".join(Contract.model_fields)
        raise UserError(
            f"a contract must be a mapping of some of the rules {known}. Received: {path}, {faults}"
        ) from error
    if contract.shift is None:
        return contract, None
    # Beside the contract, so that the pair may be moved.
    return contract, read_report(path.parent / contract.shift.reference)


def _lines(rules: Rules, indent: str) -> Iterator[str]:
    for name, field in type(rules).model_fields.items():
        value = getattr(rules, name)
        if value is None:
            continue
        yield from _commented(field.description or "", indent)
        if isinstance(value, Rules):
            yield f"{indent}{name}:\n"
            yield from _lines(value, f"{indent}  ")
        else:
            # As for JSON, so that tuples are lists, which the writer keeps in one line.
            plain = rules.model_dump(mode="json", include={name})
            text = yaml.dump(
                plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=COMMENT_WIDTH
            )
            yield textwrap.indent(text, indent)


class _Dumper(yaml.SafeDumper):
    """Writer of YAML with mappings over several lines and lists in one."""


_Dumper.add_representer(
    list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, True)
)


def _commented(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.split()), COMMENT_WIDTH - len(indent)):
        yield f"{indent}# {line}\n"


def _fault(detail: Any) -> str:
    key = ".".join(map(str, detail["loc"])) or "all of it"
    return f"`{key}`: {detail['msg'][0].lower()}{detail['msg'][1:]}"
