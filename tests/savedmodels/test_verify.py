"""Verification: what passes, what fails and why, and what is no SavedModel at all."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from savedmodels import golden, loaders, probe
from savedmodels.layout import GOLDEN, LINEAGE, WARM_UP
from savedmodels.verification import Problem, Verification
from savedmodels.verify import verify
from savedmodels.whole import Unverifiable

ROOT = Path(probe.__file__).parents[1]


@pytest.fixture
def _only_c_api(forked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the other loaders, and new interpreters, to the slow tests."""
    only = {loaders.C_API: loaders.LOADERS[loaders.C_API]}
    monkeypatch.setattr(loaders, "LOADERS", only)


quick = pytest.mark.usefixtures("_only_c_api")


def texts(verification: Verification) -> list[str]:
    return [str(problem) for problem in verification.problems]


def rewrite(folder: Path, change: Callable[[dict[str, golden.Request]], None]) -> None:
    requests = golden.read(folder / GOLDEN)
    change(requests)
    golden.write(folder / GOLDEN, requests, golden.read_origin(folder / GOLDEN))


def move(folder: Path, **machine: str) -> None:
    """Have the golden requests answered by a machine that differs in this."""
    origin = golden.read_origin(folder / GOLDEN)
    assert origin.machine is not None
    there = dataclasses.replace(origin.machine, **machine)
    golden.write(folder / GOLDEN, golden.read(folder / GOLDEN), origin._replace(machine=there))


@pytest.mark.slow
def test_every_loader_answers_as_recorded(scaling: Path) -> None:
    """In new processes, which have no other modules than a user's."""
    verification = verify(scaling, runs=4)
    assert verification.problems == ()
    assert verification.passed
    assert verification.compared
    loaders = {loading.loader: loading for loading in verification.loadings}
    assert list(loaders) == ["saved_model.load", "session loader", "C API"]
    assert all(loading.seconds > 0 for loading in loaders.values())
    assert all(loading.resident_bytes > 50 * 2**20 for loading in loaders.values())
    assert set(verification.latencies) == {"scale", "files"}
    for latency in verification.latencies.values():
        assert latency.runs == 4
        assert 0 < latency.median_seconds <= latency.p99_seconds
    assert verification.operations["EncodePng"] == 1
    files = [file for file in scaling.rglob("*") if file.is_file()]
    assert verification.size_bytes == sum(len(file.read_bytes()) for file in files)
    assert verification.tensorflow == tf.__version__
    scale = verification.signatures["scale"]
    assert {name: str(tensor) for name, tensor in scale.inputs.items()} == {
        "numbers": "float32 (?, 3)",
        "offset": "int64 ()",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("tampered", ["weights", "golden"])
def test_other_answers_are_told_by_every_loader(
    scaling: Path, reweighted: Callable[[Path], None], tampered: str
) -> None:
    if tampered == "weights":
        reweighted(scaling)
    else:
        rewrite(scaling, lambda requests: requests["scale"].outputs["scaled"].__isub__(
            np.float32([[0, -0.5, 0], [0, 1.5, 0]])))  # fmt: skip
    verification = verify(scaling, runs=1)
    assert not verification.passed
    text = "2 of 6 values differ, by 1.5 at most"
    told = [problem for problem in verification.problems if problem.output == "scaled"]
    assert told == [Problem(text, loader, "scale", "scaled") for loader in loaders.LOADERS]


@quick
def test_what_differs_is_told_by_signature_and_output(
    scaling: Path, reweighted: Callable[[Path], None]
) -> None:
    reweighted(scaling)
    verification = verify(scaling, runs=1)
    assert texts(verification) == [
        "scale/bytes: 1 of 6 values differ, by 5 at most",
        "scale/scaled: 2 of 6 values differ, by 1.5 at most",
    ]
    assert set(verification.latencies) == {"scale", "files"}


@quick
def test_strings_are_compared_too(scaling: Path) -> None:
    def change(requests: dict[str, golden.Request]) -> None:
        requests["files"].outputs["image_bytes"][1] += b"\0"

    rewrite(scaling, change)
    assert texts(verify(scaling, runs=1)) == ["files/image_bytes: 1 of 2 strings differ"]


@quick
def test_golden_requests_that_are_not_of_the_model(scaling: Path) -> None:
    def change(requests: dict[str, golden.Request]) -> None:
        scale = requests.pop("scale")
        requests["other"] = scale
        del requests["files"].outputs["names"]
        requests["files"].outputs["more"] = np.zeros(1)

    rewrite(scaling, change)
    assert texts(verify(scaling, runs=1)) == [
        "other: it has a golden request, but the model lacks it",
        "scale: no golden request was recorded for it",
        "files/more: it was recorded, but is missing from the answer",
        "files/names: it is in the answer, but was not recorded",
    ]


@quick
def test_requests_that_the_model_does_not_take(scaling: Path) -> None:
    def change(requests: dict[str, golden.Request]) -> None:
        requests["scale"].inputs["numbers"] = np.zeros((1, 4), np.float32)
        requests["files"].inputs["more"] = np.zeros(1)

    rewrite(scaling, change)
    inputs, refused = texts(verify(scaling, runs=1))
    assert inputs == (
        "files: its golden request has the inputs ['more', 'seeds', 'suffix'] in place of "
        "['seeds', 'suffix']"
    )
    assert refused.startswith("scale: no answer: ")
    assert "\n" not in refused


def test_nothing_is_loaded_where_operations_are_refused(
    saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("no process must be started")

    folder = saved(lambda x: tf.ensure_shape(tf.py_function(lambda y: y, [x], tf.float32), ()))
    monkeypatch.setattr("subprocess.run", forbidden)
    verification = verify(folder)
    [text] = texts(verification)
    assert text.startswith("operation EagerPyFunc in function __inference_")
    assert text.endswith("calls Python, which no server has")
    assert (verification.loadings, verification.latencies) == ((), {})


def test_an_operation_that_tensorflow_lacks(scaling: Path, edited: Callable[..., None]) -> None:
    def change(graph: Any) -> None:
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                node.op = node.op.replace("EncodePng", "EncodeFilm")

    edited(scaling, change)
    [text] = texts(verify(scaling))
    assert text.startswith("operation EncodeFilm in function ")
    assert text.endswith("is unknown to TensorFlow")


def flip_threads(file: Path) -> None:
    """Flip a bit of the value that says how many threads an operation had."""
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        name = "intra_op_threads.npy"
        value = content.index(archive.read(name), archive.getinfo(name).header_offset)
        content[value + archive.getinfo(name).file_size - 8] ^= 1
    file.write_bytes(content)


def flip(file: Path, at: int) -> None:
    """Change one bit of a byte."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda folder: shutil.rmtree(folder), "must be a folder with saved_model.pb"),
        (lambda folder: (folder / "saved_model.pb").unlink(), "must be a folder with saved_model"),
        (lambda folder: os.truncate(folder / "saved_model.pb", 0), "no graph tagged `serve`"),
        (lambda folder: os.truncate(folder / "saved_model.pb", 2), "no graph tagged `serve`"),
        (lambda folder: os.truncate(folder / "saved_model.pb", 5000), "saved_model.pb is damaged"),
        (lambda folder: (folder / "saved_model.pb").write_text("text"), "saved_model.pb is damag"),
        (lambda folder: (folder / "variables/variables.index").unlink(), "index is missing"),
        (lambda folder: shutil.rmtree(folder / "variables"), "variables.index is missing"),
        (lambda folder: (folder / GOLDEN).unlink(), "has no golden requests"),
        (lambda folder: shutil.rmtree(folder / "assets.extra"), "has no golden requests"),
        (lambda folder: golden.write(folder / GOLDEN, {}), "has no golden requests"),
        (lambda folder: os.truncate(folder / GOLDEN, 1000), "golden.npz is damaged"),
        (lambda folder: flip_threads(folder / GOLDEN), "golden.npz is damaged"),
        # What servers or publishers would refuse.
        (lambda folder: flip(folder / WARM_UP, 20), "tf_serving_warmup_requests is damaged"),
        (lambda folder: os.truncate(folder / WARM_UP, 50), "warmup_requests is damaged"),
        (lambda folder: (folder / LINEAGE).write_text("{"), "manifest.json is damaged"),
        (lambda folder: (folder / LINEAGE).write_text("[]"), "manifest.json is damaged"),
        (lambda folder: (folder / "assets" / "link").symlink_to("/etc/hostname"), "is a link"),
    ],
)  # fmt: skip
def test_what_is_no_whole_savedmodel(
    scaling: Path, damage: Callable[[Path], object], rule: str
) -> None:
    damage(scaling)
    with pytest.raises(Unverifiable) as caught:
        verify(scaling)
    assert rule in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_for_no_server(scaling: Path, edited: Callable[..., None]) -> None:
    edited(scaling, lambda graph: graph.meta_info_def.tags.append("gpu"))
    with pytest.raises(Unverifiable, match="no graph tagged `serve`"):
        verify(scaling)


def test_a_model_without_signatures(scaling: Path, edited: Callable[..., None]) -> None:
    def change(graph: Any) -> None:
        for name in ("scale", "files"):
            del graph.signature_def[name]

    edited(scaling, change)
    with pytest.raises(Unverifiable, match="no signature"):
        verify(scaling)


def test_the_folder_of_versions_is_not_a_version(scaling: Path) -> None:
    for name in ("10", "1.bak", "2nd"):
        shutil.copytree(scaling, scaling.with_name(name))
    with pytest.raises(Unverifiable, match=r"without, but for versions 1, 10$"):
        verify(scaling.parent)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("how", ["truncated", "flipped", "no data", "index"])
def test_damaged_variables(scaling: Path, how: str) -> None:
    index = scaling / "variables" / "variables.index"
    [data] = scaling.glob("variables/variables.data-*")
    if how == "truncated":
        os.truncate(data, 5)
    elif how == "flipped":
        content = data.read_bytes()
        place = content.index(np.float32(1.5).tobytes())
        data.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    elif how == "no data":
        data.unlink()
    else:
        os.truncate(index, 20)
    with pytest.raises(Unverifiable) as caught:
        verify(scaling)
    assert f"{scaling / 'variables'} is damaged: " in str(caught.value)
    assert "\n" not in str(caught.value)


@quick
def test_a_model_without_golden_requests_can_be_loaded(scaling: Path) -> None:
    (scaling / GOLDEN).unlink()
    verification = verify(scaling, without_golden=True)
    assert verification.passed
    assert not verification.compared
    assert [loading.loader for loading in verification.loadings] == ["C API"]
    assert verification.latencies == {}


@quick
def test_golden_requests_that_are_there_are_not_passed_over(
    scaling: Path, reweighted: Callable[[Path], None]
) -> None:
    reweighted(scaling)
    assert not verify(scaling, runs=1, without_golden=True).passed


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo last words >&2; kill -SEGV $$", "its process ended with SIGSEGV: last words"),
        ("kill -KILL $$", "its process ended with SIGKILL"),
        ("echo one >&2; echo two >&2; exit 7", "its process ended with status 7: two"),
        ("exec sleep 60", "did not end within 0.2 s"),
    ],
)
def test_a_loader_that_crashes_or_hangs_is_told(
    scaling: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, text: str
) -> None:
    program = tmp_path / "interpreter"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    verification = verify(scaling, timeout=0.2 if "sleep" in script else 600)
    assert verification.problems == tuple(
        Problem(f"it cannot be loaded: {text}", loader) for loader in loaders.LOADERS
    )
    assert verification.loadings == ()


def test_loaders_have_as_many_threads_as_the_export_had(
    scaling: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden.write(scaling / GOLDEN, golden.read(scaling / GOLDEN), golden.Origin(threads=5))
    given = []

    def run(*_: Any, env: dict[str, str], **__: Any) -> None:
        given.append(env[golden.THREADS_VARIABLE])
        raise subprocess.TimeoutExpired("", 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert not verify(scaling).passed
    assert given == ["5"] * 3


@quick
def test_another_machine_is_held_to_bounds(scaling: Path) -> None:
    move(scaling, processor="of another kind", settings="ONEDNN_MAX_CPU_ISA=AVX2")
    nearly = 2**-20 * np.float32([[0, 0, 0], [0, 4, 0]])
    rewrite(scaling, lambda requests: requests["scale"].outputs["scaled"].__isub__(nearly))
    verification = verify(scaling, runs=1)
    assert verification.passed
    assert verification.bounds is not None
    assert verification.bounds.largest == pytest.approx(2**-18 / 4, rel=1e-3)
    assert re.fullmatch(
        r"passed: every answer is within 0\.001 of that of the export on a scale of -1 to 1, "
        r"9\.5e-07 at most; not compared by bits, because it was exported on another machine: "
        r"processor .* in place of of another kind, settings .* in place of "
        r"ONEDNN_MAX_CPU_ISA=AVX2",
        verification.verdict,
    )


@quick
def test_files_and_levels_of_another_machine_may_differ_by_rounding(scaling: Path) -> None:
    def change(requests: dict[str, golden.Request]) -> None:
        requests["scale"].outputs["bytes"][0, 0] ^= 1
        files = requests["files"].outputs["image_bytes"]
        pixels = tf.io.decode_png(files[0]).numpy()
        files[0] = tf.io.encode_png(pixels ^ np.uint8(1)).numpy()

    rewrite(scaling, change)
    assert len(texts(verify(scaling, runs=1))) == 2
    move(scaling, caches="")
    assert verify(scaling, runs=1).passed


@quick
def test_other_weights_fail_on_any_machine(
    scaling: Path, reweighted: Callable[[Path], None]
) -> None:
    move(scaling, gpus="Some GPU")
    reweighted(scaling)
    told = texts(verify(scaling, runs=1))
    assert [text.partition(": ")[0] for text in told] == ["scale/bytes", "scale/scaled"]
    assert "2 of 6 values differ, by 1.5 at most, where 0.01 is allowed, because it was" in told[1]


@quick
def test_answers_of_nobody_knows_what_machine_are_held_to_bounds(scaling: Path) -> None:
    golden.write(scaling / GOLDEN, golden.read(scaling / GOLDEN))
    verification = verify(scaling, runs=1)
    assert verification.passed
    assert verification.verdict.endswith(
        "0 at most; not compared by bits, because the machine of its export is not recorded"
    )


EXPORT = """
import sys
from pathlib import Path
import tensorflow as tf
from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import Generator
from savedmodels.export import export
from pipeline.sampling.sampler import latent_sampler
from savedmodels.exportable import Exportable
tf.config.threading.set_intra_op_parallelism_threads(1)
config = ProGANConfig(latent_size=8, fmap_max=8)
model = Generator(config, channels=1, label_size=0).model(8, fading=False)
exportable = Exportable(latent_sampler(model))
export(exportable, Path(sys.argv[1]), 1, lineage={}, names=["serving_default"])
"""


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_an_export_by_other_instructions_passes_within_bounds(tmp_path: Path) -> None:
    """As by another processor."""
    fewer = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", EXPORT, str(tmp_path)], cwd=ROOT, env=fewer, check=True)
    verification = verify(tmp_path / "1", runs=2)
    assert texts(verification) == []
    assert verification.bounds is not None
    assert verification.bounds.largest < 1e-5
    assert "settings none in place of ONEDNN_MAX_CPU_ISA=AVX2" in verification.verdict


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_an_export_of_a_process_with_one_thread_passes(tmp_path: Path) -> None:
    """Of so few maps that another number of threads gives other last bits."""
    subprocess.run([sys.executable, "-c", EXPORT, str(tmp_path)], cwd=ROOT, check=True)
    assert golden.read_origin(tmp_path / "1" / GOLDEN).threads == 1
    verification = verify(tmp_path / "1", runs=2)
    assert texts(verification) == []
    assert verification.bounds is None  # But by bits.


def test_answers_that_change_are_told(
    scaling: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(100))
    golden.write(tmp_path / "asked.npz", {"a": golden.Request({"x": np.zeros(1)}, {})})
    monkeypatch.setattr(
        loaders, "LOADERS", {"fickle": lambda _: lambda _: lambda *_: {"y": np.array(next(count))}}
    )
    task = probe.ProbeJob(
        str(scaling), "fickle", str(tmp_path / "asked.npz"), 3, str(tmp_path / "answers.npz"), {}
    )
    findings = probe.carry_out(task)
    assert findings.unstable == {"a"}
    assert len(findings.seconds["a"]) == 3


@pytest.mark.new_interpreter
def test_nothing_of_the_project_can_be_imported_where_a_model_is_loaded() -> None:
    program = """
import sys
from savedmodels import probe
import savedmodels.atomic
probe._block_imports()
for name in ("keras", "keras.layers", "layers", "layers.bias", "pipeline.config", "savedmodels",
             "savedmodels.export"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(name)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_json_holds_everything(scaling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "LOADERS", {})
    verification = verify(scaling)
    problem = Problem("text", "C API", "scale", "scaled")
    content = json.loads(dataclasses.replace(verification, problems=(problem,)).as_json())
    assert content["schema"] == 1
    assert content["passed"] is False
    assert content["problems"] == [
        {"text": "text", "loader": "C API", "signature": "scale", "output": "scaled"}
    ]
    assert content["signatures"]["files"]["outputs"]["names"] == {
        "dtype": "string",
        "shape": [None],
    }
    assert content["operations"] == verification.operations
