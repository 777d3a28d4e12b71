"""Read and write the file of a data contract: YAML with a comment above each rule.

The report of the set from which the contract was derived, its reference, is a file beside it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.data.checking.contract import Contract, Rules, derive_contract
from pipeline.data.checking.report import Survey, read_report, report_text
from pipeline.errors import UserError
from savedmodels.atomic import write_file

COMMENT_WIDTH = 96  # Line length of the file, in characters.


def write_contract(path: Path, survey: Survey) -> None:
    """Write the contract derived from a set, and beside it the report of that set.

    Raises:
        OSError: if they cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    reference = path.with_suffix(".reference.json")
    # Write the report first, because a contract without it cannot be read.
    write_file(reference, report_text(survey))
    title = f"Rules for sets like {survey.source}. A deleted rule is not enforced."
    contract = derive_contract(survey, reference.name)
    write_file(path, "".join([*_comment_lines(title, ""), *_rule_lines(contract, "")]))


def read_contract(path: Path) -> tuple[Contract, Survey | None]:
    """Read a contract, and the report of its reference set if the contract has rules in `shift`.

    Raises:
        UserError: if the contract cannot be read, has an unknown rule or an invalid value, or the
            report is missing or damaged.
    """
    try:
        contract = Contract.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"a contract must be a readable YAML file. Received: {reason}") from error
    except ValidationError as error:
        faults = "; ".join(map(_describe_fault, error.errors()))
        known = ", ".join(Contract.model_fields)
        raise UserError(
            f"a contract must be a mapping of some of the rules {known}. Received: {path}, {faults}"
        ) from error
    if contract.shift is None:
        return contract, None
    # Look beside the contract, so that the two files can be moved together.
    return contract, read_report(path.parent / contract.shift.reference)


def _rule_lines(rules: Rules, indent: str) -> Iterator[str]:
    for name, field in type(rules).model_fields.items():
        value = getattr(rules, name)
        if value is None:
            continue
        yield from _comment_lines(field.description or "", indent)
        if isinstance(value, Rules):
            yield f"{indent}{name}:\n"
            yield from _rule_lines(value, f"{indent}  ")
        else:
            # Turn tuples into lists, which `_Dumper` keeps on one line.
            plain = rules.model_dump(mode="json", include={name})
            text = yaml.dump(
                plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=COMMENT_WIDTH
            )
            yield textwrap.indent(text, indent)


class _Dumper(yaml.SafeDumper):
    """Writer of YAML with mappings in block style, over several lines, and lists on one line."""


_Dumper.add_representer(
    list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, True)
)


def _comment_lines(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.split()), COMMENT_WIDTH - len(indent)):
        yield f"{indent}# {line}\n"


def _describe_fault(fault: Any) -> str:
    key = ".".join(map(str, fault["loc"])) or "all of it"
    return f"`{key}`: {fault['msg'][0].lower()}{fault['msg'][1:]}"
