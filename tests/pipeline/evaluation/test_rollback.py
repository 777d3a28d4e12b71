from collections.abc import Callable
from pathlib import Path

from pipeline.evaluation.rollback import RemoveEvaluations
from pipeline.evaluation.scores import Evaluation
from pipeline.training.position import RollBack
from pipeline.training_run.folder import RunFolder


def test_evaluations_of_what_is_undone_are_removed(
    tmp_path: Path, evaluated: Callable[..., Evaluation], run_with: Callable[..., RunFolder]
) -> None:
    run = run_with(tmp_path / "run", *map(evaluated, (1000, 2000, 3000)))
    RemoveEvaluations(run).rolled_back(RollBack("collapse", at=3500, to=2000))
    assert run.evaluated() == [1000, 2000]
