"""TensorBoard shows what was measured."""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_UNKNOWN, ListSessionGroupsRequest
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler
from tensorboard.util.tensor_util import make_ndarray

from pipeline.evaluation.events import write_events
from pipeline.evaluation.scores import Evaluation, score_history
from pipeline.training_run.folder import RunFolder


def test_scores_and_hyperparameters_can_be_read_again(
    tmp_path: Path, evaluated: Callable[..., Evaluation], run_with: Callable[..., RunFolder]
) -> None:
    run = run_with(
        tmp_path / "run",
        evaluated(1000, scores={"fid": (3.0, 2.5, 3.5)}),
        evaluated(2000, scores={"fid": (2.0, 1.5, 2.5), "swd": 7.0}),
        overrides=("run.seed=7",),
    )
    for _ in range(2):  # Written anew, points are not there twice.
        folder = write_events(run, score_history(run))
    assert folder == run.tensorboard / "evaluations"
    [file] = folder.iterdir()
    events = EventAccumulator(str(file))
    events.Reload()
    points = {
        tag: [(each.step, float(make_ndarray(each.tensor_proto))) for each in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if tag.startswith(("lenet/", "pixels/"))
    }
    assert points == {
        "lenet/fid": [(1000, 3.0), (2000, 2.0)],
        "lenet/fid_low": [(1000, 2.5), (2000, 1.5)],
        "lenet/fid_high": [(1000, 3.5), (2000, 2.5)],
        "pixels/swd": [(2000, 7.0)],
    }
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = metadata.parse_session_start_info_plugin_data(content)
    assert session.hparams["run.seed"].number_value == 7
    assert session.hparams["objective.loss"].string_value == "wasserstein"


def test_runs_under_one_root_compare(
    tmp_path: Path, evaluated: Callable[..., Evaluation], run_with: Callable[..., RunFolder]
) -> None:
    """As `tensorboard --logdir` of the folder that runs lie in shows them."""
    for name, seed, fid in (("first", 1, 3.0), ("second", 2, 2.0)):
        scores = evaluated(1000, scores={"fid": (fid, fid - 0.5, fid + 0.5)})
        run = run_with(tmp_path / name, scores, overrides=(f"run.seed={seed}",))
        with tf.summary.create_file_writer(str(run.tensorboard)).as_default():
            tf.summary.scalar("critic_loss", fid, step=500)
        write_events(run, score_history(run))
    shown = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    shown.Reload()
    root = MultiplexerDataProvider(shown, str(tmp_path))
    context = RequestContext()
    scalars = root.list_scalars(context, experiment_id="", plugin_name="scalars")
    assert {run: set(tags) for run, tags in scalars.items()} == {
        f"{name}/tensorboard{folder}": tags
        for name in ("first", "second")
        for folder, tags in (
            ("", {"critic_loss"}),
            ("/evaluations", {"lenet/fid", "lenet/fid_low", "lenet/fid_high"}),
        )
    }
    request = ListSessionGroupsRequest(allowed_statuses=[STATUS_UNKNOWN], slice_size=9)
    dashboard = Handler(context, Context(TBContext(data_provider=root)), "", request).run()
    assert {
        group.name: (
            group.hparams["run.seed"].number_value,
            {metric.name.tag: metric.value for metric in group.metric_values},
        )
        for group in dashboard.session_groups
    } == {
        "first": (1, {"lenet/fid": 3.0, "lenet/fid_low": 2.5, "lenet/fid_high": 3.5}),
        "second": (2, {"lenet/fid": 2.0, "lenet/fid_low": 1.5, "lenet/fid_high": 2.5}),
    }
