"""`growgan publish` as a person, or a schedule, uses it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipeline import exit_status
from pipeline.evaluation.gate import judge, write_verdict
from pipeline.evaluation.publication import evaluation_in
from pipeline.evaluation.scores import Evaluation, evaluation_of, folder_of
from pipeline.training_run.folder import RunFolder
from savedmodels.access import TOKEN_VARIABLE
from savedmodels.repository import servers
from savedmodels.repository.repository import Repository
from tests.pipeline.cli.commands import Growgan


@pytest.fixture
def publish(growgan: Growgan, monkeypatch: pytest.MonkeyPatch) -> Growgan:
    """Run `growgan publish` in this process."""
    monkeypatch.setattr(servers, "POLL_SECONDS", 0)
    return partial(growgan, "publish")


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let every SavedModel pass its verification, and note which were verified."""
    asked: list[Path] = []

    def verified(_: Any, savedmodel: Path, **__: Any) -> SimpleNamespace:
        asked.append(savedmodel)
        return SimpleNamespace(
            passed=True, comparison="every answer equals that of the export, bit for bit"
        )

    monkeypatch.setattr("pipeline.cli.publishing.run_verification", verified)
    return asked


by_passing = pytest.mark.usefixtures("passing")


@pytest.fixture
def run_of(run_with, savedmodel, evaluated) -> Callable[..., RunFolder]:
    """A run with an export and an evaluation of the same checkpoint, which the gate has judged."""

    def make(path: Path, fid: float = 2.0, rule: str = "gate.max_fid=3") -> RunFolder:
        evaluation: Evaluation = evaluated(500, scores={"fid": (fid, fid - 0.1, fid + 0.1)})
        run: RunFolder = run_with(path, evaluation, overrides=(rule,))
        write_verdict(folder_of(run, evaluation), judge(evaluation, run.config().gate))
        for size, images in ((4, 100), (8, 500)):
            lineage = {"images_seen": images, "data": {"hash": "da7a" * 16}}
            export = run.savedmodels / f"{size}x{size}" / str(images)
            savedmodel(export, f"{path.name} {images}", **lineage)
        return run

    return make


def test_runs_follow_each_other_on_a_server(
    publish: Growgan, passing: list[Path], run_of, watching: ModuleType, tmp_path: Path
) -> None:
    base = tmp_path / "models"
    server = watching.WatchingServer(base / "models.config")
    with server.listening() as url:
        words = ("--model", "faces", "--label", "stable", "--server", url)
        for number, name in enumerate(("one", "two"), 1):
            result = publish(run_of(tmp_path / name).path, base, *words, "--keep", 2)
            assert (result.status, result.err) == (0, "")
            assert result.out.splitlines() == [
                "verified: every answer equals that of the export, bit for bit",
                f"published: {base}/faces/{number}",
                f"stable: stands at version {number}",
                f"servers read: {base}/models.config",
            ]
        again = publish(tmp_path / "two", base, *words)
        assert again.out.startswith(f"there already, with the same content: {base}/faces/2\n")
        back = publish(base, "--model", "faces", "--rollback", "--server", url)
        assert (back.status, back.err) == (0, "")
        assert back.out.startswith("stable: stands at version 1\n")
        there = publish(base, *words, "--version", 2)
        assert there.out.startswith("stable: stands at version 2\n")
    assert server.problems == []
    assert server.labels == {"faces": {"stable": 2}}
    # Only what is new: neither what is there already, nor where a label moves.
    assert passing == [RunFolder(tmp_path / name).newest_export() for name in ("one", "two")]


@by_passing
def test_a_version_tells_what_it_is_of(publish: Growgan, run_of, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    publish(run.path, tmp_path / "models", "--model", "faces")
    found = Repository(tmp_path / "models").publication("faces", 1)
    assert found.lineage == {"images_seen": 500, "data": {"hash": "da7a" * 16}}
    assert found.about.config == run.config().model_dump(mode="json")
    assert found.about.gate is not None
    assert found.about.gate.passed
    assert evaluation_in(found) == evaluation_of(run)
    # Of an export that was not measured the scores of another are not told.
    export = run.savedmodels / "4x4" / "100"
    publish(export, tmp_path / "models", "--model", "faces")
    stage = Repository(tmp_path / "models").publication("faces", 2)
    assert stage.lineage == {"images_seen": 100, "data": {"hash": "da7a" * 16}}
    assert stage.about.config == found.about.config
    assert (evaluation_in(stage), stage.about.gate) == (None, None)


def test_what_the_gate_has_failed_does_not_become_stable(
    publish: Growgan, passing: list[Path], run_of, tmp_path: Path
) -> None:
    bad, base = run_of(tmp_path / "bad", fid=9.0).path, tmp_path / "models"
    words = ("--model", "faces", "--unwatched")
    refused = publish(bad, base, *words, "--label", "stable")
    assert refused.status == exit_status.GATE
    assert refused.err.count("\n") == 1
    assert "max_fid: `fid` must be at most 3. Received: 9 (8.9 to 9.1)" in refused.err
    assert not base.exists()
    assert passing == []
    assert publish(bad, base, *words, "--label", "canary").status == 0
    # The verdict went with the version.
    refused = publish(base, *words, "--label", "stable", "--version", 1)
    assert refused.status == exit_status.GATE
    assert Repository(base).label_state("faces").labels == {"canary": 1}
    forced = publish(bad, base, *words, "--label", "stable", "--force")
    assert forced.status == 0
    last = (base / "faces" / "promotions.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["forced"] is True
    # The gate was asked again, by another policy.
    policy = RunFolder(bad).config(["gate.max_fid=10"]).gate
    evaluation = json.loads((next(bad.rglob("scores.json"))).read_text())
    judged = Evaluation.model_validate(evaluation)
    write_verdict(folder_of(RunFolder(bad), judged), judge(judged, policy))
    publish(base, *words, "--rollback", "--label", "canary")
    assert publish(bad, base, *words, "--label", "stable").status == 0


@by_passing
def test_a_verdict_on_other_scores_is_none(
    publish: Growgan, run_of, evaluated, tmp_path: Path
) -> None:
    from pipeline.evaluation.scores import write_scores

    run = run_of(tmp_path / "run", fid=9.0)
    newer = evaluated(500, scores={"fid": (2.0, 1.9, 2.1)})
    write_scores(run, newer.model_copy(update={"created": newer.created.replace(year=2027)}))
    result = publish(
        run.path, tmp_path / "models", "--model", "a", "--label", "stable", "--unwatched"
    )
    assert result.status == 0
    assert "note: the gate has not judged" in result.out
    assert Repository(tmp_path / "models").publication("a", 1).about.gate is None


@by_passing
def test_of_a_savedmodel_outside_its_run_nothing_is_known(
    publish: Growgan, savedmodel, tmp_path: Path
) -> None:
    alone = savedmodel(tmp_path / "alone")
    result = publish(alone, tmp_path / "models", "--model", "a", "--label", "stable", "--unwatched")
    assert result.status == 0
    assert f"note: {alone} is not in a run, so its scores" in result.out


@by_passing
def test_a_label_waits_for_servers(publish: Growgan, run_of, tmp_path: Path) -> None:
    run, base = run_of(tmp_path / "run").path, tmp_path / "models"
    words = ("--model", "faces", "--label", "stable")
    first = publish(run, base, *words)
    assert (first.status, first.err) == (exit_status.AGAIN, "")
    assert "stable: waits for version 1; " in first.out
    assert "by `--server`" in first.out
    late = publish(run, base, *words, "--server", "http://127.0.0.1:9", "--wait", 0)
    assert late.status == exit_status.AGAIN
    assert "waits for version 1; http://127.0.0.1:9 has not in 0 s: it answers nothing" in late.out
    withdrawn = publish(base, "--model", "faces", "--rollback")
    assert withdrawn.out.startswith("stable: stands at no version\n")
    assert publish(run, base, *words, "--unwatched").status == 0


@by_passing
def test_versions_are_listed_and_compared(publish: Growgan, run_of, tmp_path: Path) -> None:
    base = tmp_path / "models"
    one, two = run_of(tmp_path / "one"), run_of(tmp_path / "two", 2.5, "gate.max_fid=4")
    publish(one.path, base, "--model", "faces", "--label", "stable", "--unwatched")
    publish(two.path, base, "--model", "faces", "--label", "stable")
    publish(two.path, base, "--model", "cats", "--served-at", "/models")
    (base / "faces" / "7").mkdir()
    before = sorted(base.rglob("*"))
    listed = publish(base, "--list")
    assert (listed.status, listed.err) == (0, "")
    cats, _, faces, *versions = (line.split() for line in listed.out.splitlines())
    assert (cats[0], faces[0]) == ("cats", "faces")
    assert [line[0] for line in versions] == ["7", "2", "1"]
    assert versions[0][1:] == ["not", "by", "growgan", "publish"]
    assert versions[1][1:4] == ["stable", "(waits)", "yes"]
    assert [versions[n][-4:] for n in (1, 2)] == [
        ["da7ada7ada7a", "500", "passed", "2.5"],
        ["da7ada7ada7a", "500", "passed", "2"],
    ]
    assert publish(base, "--list", "--model", "faces").out in listed.out
    compared = publish(base, "--model", "faces", "--diff", 1, 2)
    lines = [line.split() for line in compared.out.splitlines()]
    assert ["gate.max_fid", "3", "4"] in lines
    assert ["scores.fid.value", "2", "2.5"] in lines
    assert [line[0] for line in lines if line[0].startswith("variables/")] == [
        "variables/variables.data-00000-of-00001"
    ]
    assert lines[-1] == ["the", "same:", "lineage,", "gate"]
    assert sorted(base.rglob("*")) == before
    manifest = base / "faces" / "1" / "assets.extra" / "publication.json"
    manifest.write_text(manifest.read_text().replace('"name": "fid"', '"name": "FID"'))
    damaged = publish(base, "--list")
    assert damaged.status == 2
    assert "scores in a manifest must be of schema 1. Received: version 1 of faces" in damaged.err


def test_mistakes_are_one_line(
    publish: Growgan, passing: list[Path], run_of, tmp_path: Path
) -> None:
    base, run = tmp_path / "models", run_of(tmp_path / "run").path
    empty = tmp_path / "empty"
    empty.mkdir()
    no_export = run_of(tmp_path / "bare")
    shutil.rmtree(no_export.savedmodels)
    model = ("--model", "faces")
    for words, message in (
        ((run, base), "no model given: pass --model NAME"),
        ((base, *model), "nothing to do: pass a source"),
        ((run, base, base, *model), "there must be one source and one repository"),
        ((empty, base, *model), "a SavedModel must be a folder with saved_model.pb"),
        ((no_export.path, base, *model), "a run must have a SavedModel first"),
        ((base, *model, "--rollback"), "a version of the model must have been published"),
        ((base, *model, "--label", "stable"), "a version of the model must have been published"),
        ((base, *model, "--diff", 1, 2), "a version of faces must be one of none. Received: 1"),
        ((base, *model, "--version", 2), "`--version` goes with `--label`"),
        ((run, base, *model, "--label", "stable", "--version", 2), "`--version` goes with"),
        ((run, base, *model, "--list"), "must come alone"),
        ((base, *model, "--rollback", "--list"), "must come alone"),
        ((run, base, "--model", "a/b"), "the name of a model must be"),
        ((run, base, *model, "--server", "localhost:8501"), "must be an http:// or https:// URL"),
        ((run, base, *model, "--server", "http://a..b:8501"), "must be an http:// or https:// URL"),
        ((run, base, *model, "--server", "http://[::1"), "must be an http:// or https:// URL"),
        ((run, base, *model, "--server", "http://a", "--unwatched"), "without `--server`"),
        ((base, "--list"), f"the repository must exist. Received: {base}, which does not"),
        ((base, *model, "--list"), f"the model must exist. Received: {base}/faces, which does"),
        ((run, base, *model, "--label", "best"), "'best' is not one of"),
        ((run, base, *model, "--keep", 0), "--keep"),
        ((run, base, *model, "--served-at", "models"), "must be absolute. Received: models"),
        ((base, *model, "--label", "stable", "--no-verify"), "`--no-verify` goes with a source"),
    ):
        result = publish(*words)
        assert (result.status, result.out) == (2, ""), result
        assert result.err.startswith("growgan: ")
        assert result.err.count("\n") == 1
        assert message in result.err
    assert not base.exists()
    assert passing == []


@by_passing
def test_a_label_needs_a_version_that_is_there(publish: Growgan, run_of, tmp_path: Path) -> None:
    base, words = tmp_path / "models", ("--model", "faces")
    publish(run_of(tmp_path / "run").path, base, *words)
    shutil.rmtree(base / "faces" / "1")
    result = publish(base, *words, "--label", "stable", "--unwatched")
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "growgan: a label moves only to a version that exists. Received: "
        f"{base}/faces, which has none\n"
    )


@by_passing
def test_a_server_that_asks_for_a_token_has_it_of_the_environment(
    publish: Growgan,
    run_of,
    watching: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, base = run_of(tmp_path / "run").path, tmp_path / "models"
    words = ("--model", "faces", "--label", "stable", "--wait")
    server = watching.WatchingServer(base / "models.config")
    server.token = "secret"
    with server.listening() as url:
        monkeypatch.setenv(TOKEN_VARIABLE, "sec\nret")
        broken = publish(run, base, *words, 0, "--server", url)
        assert broken.status == 2
        assert "the API token must be one line" in broken.err
        assert "sec" not in broken.err
        assert not base.exists()
        monkeypatch.delenv(TOKEN_VARIABLE)
        refused = publish(run, base, *words, 0, "--server", url)
        assert refused.status == exit_status.AGAIN
        [line] = [line for line in refused.out.splitlines() if line.startswith("stable: ")]
        assert line.endswith("it answers 401: set $GROWGAN_SERVE_TOKEN to its API token")
        monkeypatch.setenv(TOKEN_VARIABLE, "secret")
        moved = publish(run, base, *words, 60, "--server", url)
    assert (moved.status, moved.err) == (0, "")
    assert "stable: stands at version 1" in moved.out
    assert "secret" not in moved.out


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("only_c_api")
def test_what_fails_its_verification_is_not_published(
    publish: Growgan, exported: Path, tmp_path: Path
) -> None:
    from savedmodels import golden
    from savedmodels.layout import GOLDEN

    base = tmp_path / "models"
    words = (base, "--model", "faces", "--label", "stable", "--unwatched")
    good = publish(exported, *words)
    assert (good.status, good.err) == (0, "")
    assert good.out.splitlines()[:4] == [
        f"verifying {exported}: 0/1",
        f"verifying {exported}: 1/1",
        "verified: every answer equals that of the export, bit for bit",
        f"published: {base}/faces/1",
    ]
    before = contents(base)

    folder = Path(shutil.copytree(exported, tmp_path / "8"))
    requests = golden.read(folder / GOLDEN)
    requests["serving_default"].outputs["images"][0, 0, 0, 0] += 0.25
    requests["other"] = requests["serving_default"]
    golden.write(folder / GOLDEN, requests)
    bad = publish(folder, *words)
    assert bad.status == exit_status.VERIFY
    [line] = bad.err.splitlines()
    assert line == (
        "growgan: a SavedModel must pass `growgan verify` before it is published. Received: "
        f"{folder}, which fails: other: it has a golden request, but the model lacks it, and 1 "
        f"more; to see all of it: growgan verify {folder}"
    )
    assert contents(base) == before

    (folder / GOLDEN).unlink()
    unknown = publish(folder, *words)
    assert (unknown.status, unknown.out) == (2, "")
    assert unknown.err == (
        f"growgan: {folder} has no golden requests (assets.extra/golden.npz): export it again, or "
        "pass --no-verify to publish it as it is\n"
    )
    assert contents(base) == before
    anyway = publish(folder, *words, "--no-verify")
    assert (anyway.status, anyway.err) == (0, "")
    assert anyway.out.startswith(f"published: {base}/faces/2\n")


@pytest.mark.new_interpreter
def test_it_starts_no_tensorflow_but_to_verify(publish: Growgan, run_of, tmp_path: Path) -> None:
    """It is asked in schedules, where seconds count."""
    words = [str(run_of(tmp_path / "run").path), str(tmp_path / "models"), "--model", "faces"]
    assert publish(*words, "--no-verify").status == 0
    words = ["growgan", "publish", *words]
    code = (
        f"import sys; sys.argv = {words!r}\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: status = end.code or 0\n"
        'sys.exit(f\'{status} {set(sys.modules) & {"tensorflow", "keras"}}\')'
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stderr == "0 set()\n"


def test_a_run_or_a_file_is_no_repository(publish: Growgan, run_of, tmp_path: Path) -> None:
    run = run_of(tmp_path / "one").path
    (tmp_path / "file").touch()
    for place in (run, tmp_path / "file"):
        result = publish(run, place, "--model", "faces")
        assert result.status == 2
        assert result.err.startswith("growgan: `REPOSITORY` must not be the folder of a run.")
    assert not (run / "models.config").exists()
