"""Official pickles: what they hold is found, and nothing else is taken for networks."""

from __future__ import annotations

import contextlib
import os
import pickle
import pickletools
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.families.official.pickles import read_networks
from pipeline.families.official.reading import LARGEST_FILE
from pipeline.interop.official import read_snapshot, require_weights

States = Callable[..., list[dict[str, Any]]]
Write = Callable[..., Path]


SHARED = np.ones(3)


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_networks(path)
    assert "\n" not in str(caught.value)
    assert "networks G, D and Gs alone. Received: " in str(caught.value)
    return str(caught.value)


class Python2(pickle._Pickler):
    """Writes texts and bytes both as Python 2 did, and names modules as NumPy did then."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def _save_text(self, value: str | bytes) -> None:
        content = value.encode() if isinstance(value, str) else value
        short = len(content) < 256
        size = len(content).to_bytes(1 if short else 4, "little")
        self.write((pickle.SHORT_BINSTRING if short else pickle.BINSTRING) + size + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = _save_text


def written_by_python_2(value: Any, path: Path) -> Path:
    with path.open("wb") as file:
        Python2(file, protocol=2).dump(value)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    return path


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("path", ["tfutil.Network", "dnnlib.tflib.network.Network"])
def test_networks_are_what_was_written(
    progan_states: States, write_networks: Write, protocol: int, path: str
) -> None:
    states = progan_states(lod=0.4)
    for state, network in zip(
        states, read_networks(write_networks(states, path=path, protocol=protocol)), strict=True
    ):
        assert network.function == state["build_func_name"]
        assert network.settings == state["static_kwargs"]
        assert list(network.variables) == [name for name, _ in state["variables"]]
        for name, value in state["variables"]:
            np.testing.assert_array_equal(network.variables[name], value)


def test_networks_of_python_2(
    progan_states: States, network_class: Callable[..., Any], tmp_path: Path
) -> None:
    states = progan_states(lod=0.4)
    made = network_class("tfutil.Network")
    file = written_by_python_2(tuple(map(made, states)), tmp_path / "old.pkl")
    used = {operation.name for operation, _, _ in pickletools.genops(file.read_bytes())}
    assert "BINSTRING" in used
    assert "BINUNICODE" not in used
    for state, network in zip(states, read_networks(file), strict=True):
        for name, value in state["variables"]:
            np.testing.assert_array_equal(network.variables[name], value)


def test_parts_have_their_names_before_those_of_variables(
    progan_states: States, network_class: Callable[..., Any], tmp_path: Path
) -> None:
    made = network_class("dnnlib.tflib.network.Network")
    dictionary = network_class("dnnlib.util.EasyDict", dict)
    generator, *others = progan_states()
    whole = {
        **generator,
        "components": OrderedDict(synthesis=made(generator)),
        "static_kwargs": dictionary(generator["static_kwargs"]),
        "variables": [("lod", np.float32(0.5))],
    }
    file = tmp_path / "parts.pkl"
    file.write_bytes(pickle.dumps(tuple(map(made, (whole, *others)))))
    network, *_ = read_networks(file)
    names = {f"synthesis/{name}" for name, _ in generator["variables"]}
    assert set(network.variables) == {"lod", *names}
    assert network.settings == generator["static_kwargs"]
    assert network.parts["synthesis"].function == "G_paper"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "it holds no three networks"),
        ([1, 2, 3], "it holds no three networks"),
        ((None,) * 3, "it holds no three networks"),
        ({"a": (1, 2, 3)}, "it holds no three networks"),
    ],
)
def test_other_values_are_refused(tmp_path: Path, value: Any, says: str) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    assert says in refusal(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"build_func_name": None}, "without function and settings"),
        ({"static_kwargs": []}, "without function and settings"),
        ({"components": []}, "without function and settings"),
        ({"components": {"a": 1}}, "it holds no three networks"),
        ({"variables": None}, "without variables"),
        ({"variables": [1]}, "a variable without a name"),
        ({"variables": [(1, 2)]}, "a variable without a name"),
        ({"variables": [("a\n", "text")]}, r"no numbers as the variable a\n"),
        ({"variables": [("a", np.ones(3, np.int32))]}, "no numbers as the variable a"),
        (
            {"variables": [(n, a) for a in (np.ones(3),) for n in "ab"]},
            "two variables that are one",
        ),
    ],
)
def test_other_states_are_refused(
    progan_states: States, write_networks: Write, change: dict[str, Any], says: str
) -> None:
    first, *others = progan_states()
    assert says in refusal(write_networks([{**first, **change}, *others]))


class Harm:
    """Makes a file when it is unpickled as usual."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harm",)


@pytest.mark.parametrize("place", ["static_kwargs", "build_module_src", "variables", "name"])
def test_a_harmful_network_is_refused_and_named(
    progan_states: States,
    write_networks: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    first, *others = progan_states()
    harm: Any = {"static_kwargs": {"a": Harm()}, "variables": [("a", Harm())]}.get(place, Harm())
    file = write_networks([{**first, place: harm}, *others])
    assert "(it names posix.system)" in refusal(file)
    assert not (tmp_path / "harm").exists()
    with contextlib.suppress(Exception):
        pickle.loads(file.read_bytes())
    assert (tmp_path / "harm").exists()  # it would have done harm


def test_the_source_in_a_file_is_not_run(write_progan: Write) -> None:
    file = write_progan()  # whose source raises SystemExit
    before = set(sys.modules)
    read_networks(file)
    assert set(sys.modules) == before


def test_missing_and_huge_files_are_refused(tmp_path: Path) -> None:
    assert "(No such file or directory)" in refusal(tmp_path / "none.pkl")
    assert "(Is a directory)" in refusal(tmp_path)
    with (tmp_path / "huge.pkl").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert "(it is larger than" in refusal(tmp_path / "huge.pkl")


def test_truncated_files_are_refused(write_progan: Write) -> None:
    file = write_progan()
    content = file.read_bytes()
    for length in range(0, len(content), 397):
        file.write_bytes(content[:length])
        assert "(it is damaged)" in refusal(file)


def test_damaged_files_give_networks_or_are_refused(write_progan: Write) -> None:
    file = write_progan(lod=0.4)
    content = file.read_bytes()
    places = np.random.default_rng(0)
    began = time.monotonic()
    # Of a file most are weights: half of the damage is done to what is not.
    without = [
        place for operation, _, place in pickletools.genops(content)
        if operation.name not in ("BINBYTES", "SHORT_BINBYTES")
    ]  # fmt: skip
    for number in range(300):
        damaged = bytearray(content)
        near = places.choice(without) + places.integers(8)
        place = near if number % 2 else places.integers(len(content))
        damaged[min(place, len(content) - 1)] ^= 1 << places.integers(8)
        file.write_bytes(damaged)
        with contextlib.suppress(UserError):
            require_weights(read_snapshot(file))
    assert time.monotonic() - began < 120
