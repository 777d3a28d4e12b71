"""Measure what tests cost, by folder, file, test and fixture.

    pytest --costs=FOLDER ...
    python -m tests.costs FOLDER [ROWS]

The first writes one JSON line to FOLDER for every test and every fixture; the second sums them into
tables. CONTRIBUTING.md has the one by folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.counting import count_traces, counts, listen

Line = dict[str, Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--costs", metavar="FOLDER", help="write what each test costs to FOLDER")


def pytest_configure(config: pytest.Config) -> None:
    listen()
    folder = config.getoption("--costs")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        config.pluginmanager.register(Recorder(Path(folder)), "costs-recorder")


class Recorder:
    """Write a line for each test and each fixture.

    Args:
        folder: Where to; one file for each process.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / f"{os.getpid()}.jsonl").open("w")

    def _measured(self, **line: Any) -> Generator[None, Any, Any]:
        count_traces()
        before = len(counts.processes), len(counts.traces), counts.trace_seconds
        begun, cpu = time.perf_counter(), os.times()
        result = yield
        count_traces()
        ended = os.times()
        line |= {
            "seconds": time.perf_counter() - begun,
            "cpu": ended.user + ended.system - cpu.user - cpu.system,
            "children": ended.children_user
            + ended.children_system
            - cpu.children_user
            - cpu.children_system,
            "processes": counts.processes[before[0] :],
            "traces": counts.traces[before[1] :],
            "trace_seconds": counts.trace_seconds - before[2],
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._measured(kind="test", name=item.nodeid.partition("@")[0]))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        name = f"{fixturedef.baseid}::{fixturedef.argname}"
        return (yield from self._measured(kind=f"{fixturedef.scope} fixture", name=name))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        return (yield from self._measured(kind="collection", name="collection"))


def lines_of(folder: Path) -> Iterator[Line]:
    """Read every line in a folder."""
    for file in sorted(folder.glob("*.jsonl")):
        yield from map(json.loads, file.read_text().splitlines())


def tables_of(lines: Iterator[Line]) -> dict[str, dict[str, list[Line]]]:
    """Group lines into tables, by the name of a row."""
    tables: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line["kind"] == "test":
            file, test = line["name"].partition("[")[0].split("::", 1)
            tables["folder"]["all"].append(line)
            tables["folder"][str(Path(file).parent)].append(line)
            tables["file"][file].append(line)
            tables["test"][f"{file}::{test}"].append(line)
        else:
            tables[line["kind"]][line["name"]].append(line)
    return tables


def print_table(title: str, rows: dict[str, list[Line]], most: int) -> None:
    """Print a table in Markdown, the dearest rows first; CPU is in seconds too."""
    print(f"\n| {title} | number | seconds | CPU | CPU of processes | processes | steps traced |")
    print("| --- " * 7 + "|")
    sums = {
        name: [sum(line[key] for line in lines) for key in ("seconds", "cpu", "children")]
        + [sum(len(line[key]) for line in lines) for key in ("processes", "traces")]
        for name, lines in rows.items()
    }
    for name in sorted(rows, key=lambda name: -sums[name][0])[:most]:
        seconds, cpu, children, processes, traces = sums[name]
        times = f"{seconds:.1f} | {cpu:.1f} | {abs(children):.1f}"
        print(f"| {name} | {len(rows[name])} | {times} | {processes} | {traces} |")


def main(folder: Path, most: int = 40) -> None:
    """Print all tables of a folder."""
    for title, rows in tables_of(lines_of(folder)).items():
        print_table(title, rows, most)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
