"""The steps from a snapshot to a promoted version, each done once for what it is made of.

No step knows of a scheduler. What a step makes is a file or folder that appears whole or not at
all, under a name that follows from all that decides it; a step that finds it gives what is there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.data.checking.contract import CLASS_SHARES, COLOUR, FEATURES
from pipeline.data.checking.report import REPORT, Survey, read_report
from pipeline.errors import UserError
from pipeline.evaluation.gate import Verdict, judge, write_verdict
from pipeline.evaluation.publication import about, evaluation_in
from pipeline.evaluation.scores import (
    Evaluation,
    better_of,
    evaluation_of,
    folder_of,
    obstacles,
    read_scores,
)
from pipeline.orchestration import smoke
from pipeline.orchestration.commands import Say, growgan
from pipeline.orchestration.failure import AGAIN, GATE, StepFailed, failure_of
from pipeline.orchestration.job import name_of
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import LABEL, yaml_text
from pipeline.run_folder import RunFolder
from savedmodels import atomic
from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.publisher import publisher_of

REGRESSION = 0.05
"""Share of a score by which another model's may be worse before it is told of."""
SHEET = "contact-sheet.png"
OWN_SERVERS = 3
"""Servers of our own that are started, as one may be killed, before a version fails its test."""


@dataclass(frozen=True)
class Check:
    """Something that is looked at beside a step, and decides nothing."""

    passed: bool
    reason: str
    """What was found, in one line."""


@dataclass(frozen=True)
class Done:
    """What there is after a step."""

    facts: Mapping[str, str | int | float]
    """By name, for people."""
    new: bool
    """False if all of it was there already."""
    pictures: tuple[Path, ...] = ()
    """PNG files."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Reports, models and folders by name."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """By name."""


def source_snapshot(plan: Plan, say: Say) -> Done:
    """What lay in the sources; it was taken when the run was planned.

    Raises:
        UserError: if the configuration is wrong, or a picture was taken out of the snapshot.
    """
    snapshot, folder = plan.snapshot, plan.project.snapshots / plan.snapshot.key
    if snapshot.files and not Path(snapshot.source).exists():
        raise UserError(f"a snapshot must hold its pictures. Received: {folder}, without them")
    return Done(
        {
            "content hash": snapshot.content_hash,
            "pictures": snapshot.images,
            "configuration": plan.project.config.preset,
        },
        new=False,
        files={"snapshot": folder},
    )


def checked_data(plan: Plan, say: Say, against: Plan | None) -> Done:
    """The report on the pictures, which keep the contract.

    Args:
        plan: Of the pictures.
        say: Shows progress.
        against: Whose pictures a shift is measured from, None for none.

    Raises:
        StepFailed: if they break a rule, or none can be read.
    """
    contract = plan.project.contract
    rules = contract.read_text() if contract is not None and contract.exists() else ""
    folder = plan.checked(rules)
    new = not (folder / REPORT).exists() or not (folder / SHEET).exists()
    if new:
        former = None if against is None else _report_of(against)
        options = ["--contract", str(contract)] if rules else []
        if contract is not None and not rules:
            options += ["--write-contract", str(contract)]
        if former is not None:
            options += ["--against", str(former)]
        _growgan(plan, say, "data", "check", plan.snapshot.source, "--out", str(folder), *options)
        if contract is not None and not rules:
            # By the rules that follow from them they need not be held to them again.
            written = plan.checked(contract.read_text())
            if not written.exists():
                folder.rename(written)
            folder = written
    survey = read_report(folder)
    if survey.broken_rules:
        raise StepFailed(f"the pictures break {contract}: {'; '.join(survey.broken_rules)}")
    return Done(
        {
            "readable": survey.readable,
            "corrupt": len(survey.corrupt),
            "classes": len(survey.classes),
        },
        new,
        pictures=(folder / SHEET,),
        files={"report": folder / REPORT},
        checks={"data_shift": _shift_of(survey)},
    )


def records(plan: Plan, say: Say) -> Done:
    """The prepared set.

    Raises:
        StepFailed: if a picture is corrupt and `data.on_corrupt` is `fail`, or there is no room.
    """
    new = not plan.records.exists()
    if new:
        data = plan.config.data
        given = {
            "--resolution": plan.config.schedule.resolution,
            "--channels": data.channels,
            "--crop": data.crop,
            "--filter": data.filter,
            "--classes": ",".join(data.classes) if data.classes else None,
            "--max-images": data.max_images,
            "--val": data.val,
            "--format": data.format,
            "--on-corrupt": data.on_corrupt,
            "--workers": data.workers,
            "--beam": plan.project.config.training.beam,
        }
        words = [str(w) for pair in given.items() if pair[1] is not None for w in pair]
        if data.mirrored_copies:
            words.append("--mirror")
        _growgan(plan, say, "data", "prepare", plan.snapshot.source, str(plan.records), *words)
    manifest = json.loads((plan.records / "manifest.json").read_text())
    return Done(
        {
            "data hash": manifest["data_hash"],
            "skipped": len(manifest["skipped"]),
            "resolutions": ", ".join(map(str, manifest["resolutions"])),
        },
        new,
        files={"records": plan.records},
    )


def stage(plan: Plan, resolution: int, say: Say, promoted: int | None) -> Done:
    """The training up to the end of a resolution, and the SavedModel that it leaves.

    Args:
        plan: Of the training.
        resolution: In pixels.
        say: Shows progress.
        promoted: The version whose weights it may start from.

    Raises:
        StepFailed: if it was ended, or an alarm has stopped it.
    """
    new = _stage_end(plan, resolution) is None
    if new:
        config = plan.folder / "config.yaml"
        config.parent.mkdir(parents=True, exist_ok=True)
        settings = plan.config.model_dump(mode="json")
        atomic.write_file(config, yaml.safe_dump(settings, sort_keys=False))
        words = ["--config", str(config), "--out", str(plan.run.path), "--resume", "auto"]
        if not plan.run.exists():
            words += _first_weights(plan, promoted)
        words += ["--until-resolution", str(resolution)]
        _growgan(plan, say, *_training(plan, words))
    end = _stage_end(plan, resolution)
    if end is None:
        raise StepFailed(
            f"a stage must leave a checkpoint and a SavedModel. Received: none of {resolution} px "
            f"in {plan.run.path}",
            may_pass=True,
        )
    entries = [e for e in _entries(plan) if e.get("resolution") == resolution]
    sheets = [s for s in sorted(plan.run.samples.glob("*.png")) if _images_of(s) <= end]
    speeds = [e["images_per_second"] for e in entries if e["images_per_second"]]
    return Done(
        {
            "images seen": end,
            "images per second": round(sum(speeds) / len(speeds), 1) if speeds else math.nan,
        },
        new,
        pictures=tuple(sheets[-1:]),
        files={"SavedModel": plan.run.savedmodels / f"{resolution}x{resolution}" / str(end)},
    )


def trained_model(plan: Plan, say: Say) -> Done:
    """The finished training, and whether alarms stand.

    Raises:
        StepFailed: if it is not finished.
    """
    total = plan.config.schedule.build().total_images
    seen = max(map(_images_of, _checkpoints(plan)), default=0)
    if seen != total:
        raise StepFailed(
            f"a model must be trained to its end, {total} images. Received: {plan.run.path}, with "
            f"a checkpoint at {seen}"
        )
    alarms = dict.fromkeys(entry["alarm"] for entry in _entries(plan) if "alarm" in entry)
    told = ", ".join(alarms) or "none"
    return Done(
        {
            "images seen": seen,
            "of": total,
            "seconds": round(float(_manifest(plan).get("seconds", math.nan)), 1),
            "alarms": told,
        },
        new=False,
        files={"run": plan.run.path},
        checks={"alarms": Check(not alarms, f"alarms while it trained: {told}")},
    )


def evaluation(plan: Plan, say: Say, former: int | None) -> Done:
    """The scores and their report; and where the gate compares, those of the promoted model.

    Args:
        plan: Of the model.
        say: Shows progress.
        former: The version that `stable` stood at when the run began.

    Raises:
        StepFailed: if it cannot be measured.
    """
    new = plan.mark("evaluated") is None
    if new:
        _evaluate(plan, say, plan.run)
        scores = evaluation_of(plan.run)
        folder = folder_of(plan.run, scores)
        plan.note("evaluated", folder=str(folder.relative_to(plan.project.path)))
    _measure_promoted(plan, say, former)
    scores, promoted = scores_of(plan), scores_of_version(plan, former)
    folder = folder_of(plan.run, scores)
    return Done(
        {score.name: str(score) for score in scores.scores},
        new,
        pictures=tuple(folder / f"{name}.png" for name in ("samples", "best", "worst")),
        files={"report": folder / "report.html", "scores": folder},
        checks={"score_regression": _regression(scores, promoted)},
    )


def gate(plan: Plan, say: Say, promoted: Evaluation | None) -> Done:
    """The verdict of the gate, which passes.

    Raises:
        StepFailed: if it does not.
    """
    if plan.project.config.gate is None:
        return Done({"verdict": "no gate is asked for"}, new=False)
    verdict = verdict_of(plan, promoted)
    folder = folder_of(plan.run, scores_of(plan))
    write_verdict(folder, verdict)
    failed = [f"{rule.rule}: {rule.reason}" for rule in verdict.rules if not rule.passed]
    if failed:
        raise StepFailed("; ".join(failed), ending="gate failed", status=GATE)
    return Done(
        {rule.rule: rule.reason for rule in verdict.rules}, new=True, files={"verdict": folder}
    )


def savedmodel(plan: Plan, say: Say) -> Done:
    """The SavedModel of the last stage, which answers in clean processes as at its export.

    Raises:
        StepFailed: if it does not.
    """
    folder = plan.run.newest_export()
    new = plan.mark("verified") is None
    if new:
        _growgan(plan, say, "verify", str(folder), "--runs", "5")
        plan.note("verified", savedmodel=str(folder.relative_to(plan.project.path)))
    return Done({"loaders": "all answer as at the export"}, new, files={"SavedModel": folder})


def published_version(plan: Plan, say: Say, former: int | None) -> Done:
    """The version in the repository, at which `stable` stands.

    Args:
        plan: Of the model.
        say: Shows progress.
        former: Where `stable` stood when the run began: what the gate compared with.

    Raises:
        StepFailed: if servers do not load it, or another version was promoted meanwhile; the label
            then stays where it is.
    """
    project, repository = plan.project, plan.project.repository
    noted, before = plan.mark("published"), plan.ended()
    if noted is not None and before is not None and before.verdict == "promoted":
        # Where `stable` stands by now is for others to say.
        return Done({"version": noted["version"]}, new=False)
    folder = plan.run.newest_export()
    lineage = json.loads((folder / "assets.extra" / "manifest.json").read_text())
    known = about(plan.run, lineage["images_seen"])
    with _publisher(plan, say) as publisher:
        published = publisher.publish(folder, known)
        stands = publisher.standing().labels.get(LABEL)
        if stands not in (former, published.version):
            raise StepFailed(
                f"`{LABEL}` must stand where it did when the run began, at version {former}, or a "
                f"later choice would be lost; version {published.version} is published. Received: "
                f"version {stands}"
            )
        promotion = publisher.promote(
            LABEL, published.version, plan.project.watchers, gate=known.gate
        )
        if promotion.moved and project.config.repository.keep is not None:
            publisher.retain(project.config.repository.keep)
    if not promotion.moved:
        raise StepFailed(
            f"`{LABEL}` waits for version {published.version}: {promotion.reason}",
            status=AGAIN,
            may_pass=True,
        )
    content = repository.publication(project.config.model, published.version).content_hash
    plan.note(
        "published",
        version=published.version,
        content_hash=content,
        run=str(plan.run.path.relative_to(project.path)),
        destination=plan.destination,
    )
    return Done(
        {"version": published.version, "content hash": content},
        new=published.new,
        files={"version": repository.folder_of(project.config.model) / str(published.version)},
    )


def smoke_test(plan: Plan, say: Say) -> Done:
    """Servers answer for `stable` with the new version; else it is rolled back.

    Raises:
        StepFailed: if one does not, or cannot be asked; or if `stable` stands elsewhere, by a
            choice that was made meanwhile, which stays.
    """
    noted = plan.mark("published")
    assert noted is not None
    version: int = noted["version"]
    if plan.mark("tested") is not None:
        return Done({"version": version}, new=False)
    stands = plan.project.repository.standing(plan.project.config.model).labels.get(LABEL)
    if stands != version:
        raise StepFailed(
            f"`{LABEL}` must stand at version {version} to be tested; a choice that was made "
            f"meanwhile stays. Received: version {stands}"
        )
    fault = _fault_of(plan, version)
    if fault is not None:
        reason = f"{fault}; {_rolled_back(plan, version, say)}"
        raise StepFailed(reason, ending="rolled back", status=AGAIN)
    plan.note("tested", version=version)
    servers = ", ".join(plan.project.config.repository.servers)
    return Done({"version": version, "servers": servers or "one of our own"}, new=True)


def scores_of(plan: Plan) -> Evaluation:
    """The scores of a plan that was evaluated."""
    noted = plan.mark("evaluated")
    if noted is None:
        raise UserError(f"a run must be evaluated first. Received: {plan.run.path}")
    return read_scores(plan.project.path / noted["folder"])


def sheets_of(plan: Plan) -> list[Path]:
    """Sheets of what the model makes, the newest there are, and of the pictures that came."""
    if plan.mark("evaluated") is not None:
        made = sorted(folder_of(plan.run, scores_of(plan)).glob("*.png"))
    else:
        made = sorted(plan.run.samples.glob("*.png"))[-1:]
    report = _report_of(plan)
    return made if report is None else [*made, report.with_name(SHEET)]


def verdict_of(plan: Plan, promoted: Evaluation | None) -> Verdict:
    """What the gate says; the rule that asks for a promoted one is left out where there is none."""
    policy = plan.config.gate
    if promoted is None or policy.max_fid_increase_over_promoted is None:
        promoted = None
        policy = policy.model_copy(update={"max_fid_increase_over_promoted": None})
    return judge(scores_of(plan), policy, promoted)


def scores_of_version(plan: Plan, version: int | None) -> Evaluation | None:
    """The scores of a version on the pictures of the plan, or else as published; None without."""
    if version is None:
        return None
    here = _promoted_here(plan, version)
    if here.exists():
        return read_scores(here)
    publication = plan.project.repository.publication(plan.project.config.model, version)
    return evaluation_in(publication)


def _growgan(plan: Plan, say: Say, *words: str) -> str:
    log = plan.project.logs / f"{plan.key}.log"
    return growgan(words, folder=plan.project.path, log=log, say=say)


def _set(key: str, value: Any) -> tuple[str, str]:
    return "--set", f"{key}={yaml_text(value)}"


def _report_of(plan: Plan) -> Path | None:
    contract = plan.project.contract
    rules = contract.read_text() if contract is not None and contract.exists() else ""
    report = plan.checked(rules) / REPORT
    return report if report.exists() else None


def _shift_of(survey: Survey) -> Check:
    moved = survey.shift
    if moved is None:
        return Check(True, "there are no earlier pictures to compare with")
    bound = FEATURES + 2 * moved.features_by_chance
    passed = (
        moved.features <= bound
        and moved.largest_colour <= COLOUR
        and moved.class_shares <= CLASS_SHARES
    )
    return Check(
        passed,
        f"features moved by {moved.features:.3g} spreads, colours by {moved.largest_colour:.3g} "
        f"deviations, classes by {moved.class_shares:.3g}; at most {bound:.3g}, {COLOUR:g} and "
        f"{CLASS_SHARES:g} are usual",
    )


def _regression(scores: Evaluation, promoted: Evaluation | None) -> Check:
    if promoted is None:
        return Check(True, "nothing is promoted yet")
    worse, compared = [], 0
    for score in scores.scores:
        former, better = promoted.score(score.name), better_of(score.name)
        against = obstacles(score.name, scores, promoted)
        # New pictures are why there is a new model: that alone is no reason not to look.
        if former is None or not better or any(not r.startswith("other data") for r in against):
            continue
        compared += 1
        sign = 1 if better == "less" else -1
        if sign * (score.value - former.value) > REGRESSION * abs(former.value):
            worse.append(f"{score.name} is {score} after {former}")
    same = scores.lineage.data_hash == promoted.lineage.data_hash
    return Check(
        not worse,
        f"{'; '.join(worse) or 'none is worse'}, of {compared} scores that compare"
        + ("" if same else ", each on its own data"),
    )


def _measure_promoted(plan: Plan, say: Say, version: int | None) -> None:
    """Measure the promoted model on the new pictures: on others scores do not compare."""
    run = None if version is None else _run_of(plan, version)
    if run is None or version is None or plan.config.gate.max_fid_increase_over_promoted is None:
        return
    file, config = _promoted_here(plan, version), plan.config
    if not file.exists() and run.config().schedule.resolution == config.schedule.resolution:
        _evaluate(plan, say, run, "--elsewhere", str(file), *_set("data.source", str(plan.records)))


def _promoted_here(plan: Plan, version: int) -> Path:
    return plan.measured / f"{plan.destination}-{version}.json"


def _evaluate(plan: Plan, say: Say, run: RunFolder, *options: str) -> None:
    settings = plan.config.evaluation.model_dump(mode="json").items()
    words = [word for key, value in settings for word in _set(f"evaluation.{key}", value)]
    _growgan(plan, say, "evaluate", str(run.path), *words, *options)


def _run_of(plan: Plan, version: int) -> RunFolder | None:
    """The training behind a version, None if it is gone or not of this project."""
    for file in sorted(plan.project.plans.glob("*/published.json")):
        noted = json.loads(file.read_text())
        run = RunFolder(plan.project.path / noted["run"])
        same = (noted.get("destination"), noted["version"]) == (plan.destination, version)
        if same and run.exists():
            return run
    return None


def _first_weights(plan: Plan, promoted: int | None) -> list[str]:
    """The run behind the promoted version, if it is to be started from."""
    if promoted is None or not plan.project.config.training.warm_start:
        return []
    run = _run_of(plan, promoted)
    return [] if run is None else ["--from", str(run.path)]


def _training(plan: Plan, words: list[str]) -> list[str]:
    """The command that trains: here, in processes or as a Job that another command follows."""
    given = plan.project.config.training
    if given.kubernetes is not None:
        job = ["pipeline", "job", str(plan.project.path), name_of(plan.run.path)]
        return [*job, "--", "train", *words]
    workers = [] if given.workers is None else ["--workers", str(given.workers)]
    return ["train", *words, *workers]


def _checkpoints(plan: Plan) -> list[Path]:
    return sorted((plan.run.path / "checkpoints").glob("images-*"))


def _stage_end(plan: Plan, resolution: int) -> int | None:
    """Images seen at the end of a stage, None if it has not come to it.

    The checkpoint comes after the SavedModel.
    """
    exported = [
        int(path.name)
        for path in (plan.run.savedmodels / f"{resolution}x{resolution}").glob("[0-9]*")
    ]
    saved = max(map(_images_of, _checkpoints(plan)), default=-1)
    ends = [images for images in exported if images <= saved]
    return max(ends) if ends else None


def _images_of(path: Path) -> int:
    found = re.fullmatch(r"images-(\d+)", path.stem)
    return int(found[1]) if found else -1


def _entries(plan: Plan) -> Iterator[dict[str, Any]]:
    if plan.run.metrics.exists():
        for line in plan.run.metrics.read_text().splitlines():
            yield json.loads(line)


def _manifest(plan: Plan) -> dict[str, Any]:
    return plan.run.manifest() if plan.run.exists() else {}


def _publisher(plan: Plan, say: Say) -> Any:
    given = plan.project.config
    return publisher_of(
        plan.project.repository,
        given.model,
        served_at=given.repository.served_at,
        on_wait=lambda lock: say(f"waiting for another publisher, which holds {lock}"),
    )


def _fault_of(plan: Plan, version: int) -> str | None:
    """What is wrong with what servers answer for `stable`, None if nothing is."""
    project = plan.project
    model, repository, given = project.config.model, project.repository, project.config.repository
    folder = repository.folder_of(model) / str(version)

    def ask(servers: Iterable[str]) -> str | None:
        found = (smoke.faults(server, model, LABEL, version, folder) for server in servers)
        return next((fault for fault in found if fault is not None), None)

    def ask_own() -> str | None:
        log = project.logs / f"{plan.key}-serve.log"
        with smoke.own_server(repository.path, log) as server:
            return ask([server])

    fault: str | None = None
    for _ in range(1 if given.servers else OWN_SERVERS):
        try:
            fault = ask(given.servers) if given.servers else ask_own()
        except Exception as error:  # What cannot be tested must not serve.
            fault = failure_of(error).reason
        if fault is None:
            break
    return fault


def _rolled_back(plan: Plan, version: int, say: Say) -> str:
    """Move `stable` back from a version; what became of it."""
    try:
        with _publisher(plan, say) as publisher:
            stands = publisher.standing().labels.get(LABEL)
            if stands != version:
                return f"`{LABEL}` was moved to version {stands} meanwhile, and stays"
            promotion = publisher.roll_back(LABEL, plan.project.watchers)
    except RepositoryError as error:
        return f"`{LABEL}` stays: {error}"
    if promotion.moved:
        return f"`{LABEL}` is back at version {promotion.version}"
    return f"`{LABEL}` goes back to version {promotion.version}: {promotion.reason}"
