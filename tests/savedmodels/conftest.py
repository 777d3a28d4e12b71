"""SavedModels: of tiny models of every family, and of nothing but TensorFlow, to tamper with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from pipeline.families.family import family_of
from pipeline.sampling.sampler import sampler_of
from pipeline.schedule import Phase
from pipeline.training_run.networks import Restored
from savedmodels import golden
from savedmodels.export import export
from savedmodels.exportable import Exportable
from tests.pipeline.families.sections import section_of

SHARED_FIXTURES = ("served",)


@cache
def make_restored(family: str, classes: int, side: int) -> Restored:
    """A generator with random weights, among them what usually starts at 0; fading if it can."""
    of_styles = {} if family == "progan" else {"style_size": 5, "mapping_layers": 2}
    config = section_of(family=family, fmap_max=8, latent_size=6, **of_styles)
    network = family_of(config).generator(config, channels=3, label_size=classes, name="average")
    phase = Phase(side, family != "stylegan2", images=32, batch_size=8, learning_rate=0.001)
    model = network.model(side, fading=phase.fading)
    randomise(model)
    if phase.fading:
        network.fade.alpha.assign(0.3)
    return Restored(network, model, phase)


@cache
def discriminator(family: str, classes: int, side: int) -> keras.Model:
    """The discriminator that goes with it."""
    config = section_of(family=family, fmap_max=8)
    network = family_of(config).discriminator(config, channels=3, label_size=classes)
    model = network.model(side, fading=family != "stylegan2")
    randomise(model)
    return model


def randomise(model: keras.Model) -> None:
    """Give random values to weights that are 0."""
    draw = np.random.default_rng(0)
    for weight in model.weights:
        if not weight.numpy().any():
            weight.assign(draw.normal(size=weight.shape))


class Served:
    """A SavedModel in a session, loaded as TensorFlow Serving loads one.

    Nothing in Python looks at what is asked: shapes go to the graph as they are.

    Args:
        exportable: What it was made of.
        generator: The network that made that.
        folder: Folder of the version.
        optimized: Optimise graphs, as a server does; that takes half of the time of a first call.
    """

    def __init__(
        self, exportable: Exportable, generator: Restored, folder: Path, *, optimized: bool
    ) -> None:
        self.exportable = exportable
        self.generator = generator
        self.folder = folder
        graph = tf.Graph()
        config = config_pb2.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = not optimized
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        with graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self.signatures = dict(meta.signature_def)
        del self.signatures["__saved_model_init_op"]
        self._callable = cache(
            self._make_callable
        )  # To make one prunes and optimises the graph anew.

    def __call__(self, signature: str, **inputs: Any) -> dict[str, Any]:
        """Outputs by name."""
        names = sorted(inputs)
        values = self._callable(signature, *names)(*(inputs[name] for name in names))
        return dict(zip(self.signatures[signature].outputs, values, strict=True))

    def _make_callable(self, signature: str, *inputs: str) -> Callable[..., Any]:
        definition = self.signatures[signature]
        options = config_pb2.CallableOptions()
        options.feed.extend(definition.inputs[name].name for name in inputs)
        options.fetch.extend(each.name for each in definition.outputs.values())
        return self._session._make_callable_from_options(options)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Served]:
    """Export a family with its discriminator, once, and load it, optimised or not."""
    folder = tmp_path_factory.mktemp("served")

    @cache
    def exported(family: str, classes: int, side: int) -> tuple[Exportable, Restored, Path]:
        generator = make_restored(family, classes, side)
        network, model, phase = generator
        exportable = Exportable(
            sampler_of(network, model, side, fading=phase.fading),
            discriminator=discriminator(family, classes, side),
        )
        base = folder / f"{family}-{classes}-{side}"
        return exportable, generator, export(exportable, base, 7, lineage={})

    @cache
    def loaded(family: str, classes: int, side: int, optimized: bool) -> Served:
        return Served(*exported(family, classes, side), optimized=optimized)

    def make(family: str, classes: int = 0, side: int = 8, *, optimized: bool = False) -> Served:
        return loaded(family, classes, side, optimized)

    return make


@pytest.fixture(scope="session", name="restored")
def _restored() -> Callable[..., Restored]:
    """Make a generator of a family, with so many classes and pixels a side."""
    return make_restored


REQUESTS = {
    "scale": {"numbers": [[0.5, -1.0, 2.0], [0.0, 3.0, 4.0]], "offset": 2},
    "files": {"seeds": [3, 4], "suffix": b"\0end\0\0"},
}


class Scaling(tf.Module):
    """Numbers and strings, short, long and with zeros at their ends."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = tf.Variable([1.5, -2.0, 0.25], name="factors")

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 3), tf.float32, "numbers"),
            tf.TensorSpec((), tf.int64, "offset"),
        ]
    )
    def scale(self, numbers: Any, offset: Any) -> dict[str, Any]:
        scaled = numbers * self.factors + tf.cast(offset, tf.float32)
        return {"scaled": scaled, "bytes": tf.saturate_cast(10 * scaled, tf.uint8)}

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.int64, "seeds"),
            tf.TensorSpec((), tf.string, "suffix"),
        ]
    )
    def files(self, seeds: Any, suffix: Any) -> dict[str, Any]:
        pixels = tf.cast(tf.reshape(seeds, (-1, 1, 1, 1)) + tf.range(64, dtype=tf.int64), tf.uint8)
        pixels = tf.reshape(tf.repeat(pixels, 3, -1), (-1, 8, 8, 3))
        files = tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)
        return {"image_bytes": files, "names": tf.strings.as_string(seeds) + suffix}


def save(module: tf.Module, folder: Path, **signatures: Any) -> Path:
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="session")
def _scaling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module = Scaling()
    folder = tmp_path_factory.mktemp("scaling") / "1"
    save(module, folder, scale=module.scale, files=module.files)
    golden.record(folder, REQUESTS)
    return folder


@pytest.fixture
def scaling(_scaling: Path, tmp_path: Path) -> Path:
    """A SavedModel with golden requests, to tamper with."""
    return Path(shutil.copytree(_scaling, tmp_path / "1"))


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Save a function of one float as a SavedModel."""

    def make(function: Callable[[Any], Any], *, record: bool = False) -> Path:
        module = tf.Module()
        module.function = tf.function(
            lambda x: {"y": function(x)}, input_signature=[tf.TensorSpec((), tf.float32, "x")]
        )
        folder = save(module, tmp_path / "model", serving_default=module.function)
        if record:
            golden.record(folder, {"serving_default": {"x": 1.0}})
        return folder

    return make


@pytest.fixture(scope="session")
def edited() -> Callable[..., None]:
    """Change the `MetaGraphDef` in a SavedModel."""

    def edit(folder: Path, change: Callable[[Any], None]) -> None:
        file = folder / "saved_model.pb"
        content = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        change(content.meta_graphs[0])
        file.write_bytes(content.SerializeToString())

    return edit


@pytest.fixture(scope="session")
def reweighted() -> Callable[[Path], None]:
    """Change a variable in a SavedModel, checksums and all."""

    def change(folder: Path) -> None:
        prefix = str(folder / "variables" / "variables")
        reader = tf.train.load_checkpoint(prefix)
        values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
        [factors] = [name for name, value in values.items() if np.shape(value) == (3,)]
        values[factors] = values[factors] + np.float32([0, 0.5, 0])
        names = sorted(values)
        tf.raw_ops.SaveV2(
            prefix=f"{prefix}.new",
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(values[name]) for name in names],
        )
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=[f"{prefix}.new"], destination_prefix=prefix
        )

    return change
