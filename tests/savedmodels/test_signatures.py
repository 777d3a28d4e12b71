"""Signatures: what each answers, by which name, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.families.stylegan.networks import Discriminator
from pipeline.sampling.painter import Painter
from pipeline.sampling.sampler import latent_sampler
from savedmodels import golden
from savedmodels.export import manifest_in
from savedmodels.exportable import Exportable
from savedmodels.layout import GOLDEN, WARM_UP
from savedmodels.signatures import requests_of, signatures_of

Make = Callable[..., Any]

OF_SEEDS = {"generate", "generate_png", "generate_jpeg", "generate_seeds", "interpolate"}
OF_STYLES = {"styles", "synthesize", "mix"}
CLASSES = 3
SEED = 10**17
THOROUGH = (pytest.mark.slow, pytest.mark.thorough)
as_a_server_too = pytest.mark.parametrize(
    "optimized", [False, pytest.param(True, marks=pytest.mark.slow)]
)
"""With graphs as they are, and in the slow set optimised as a server has them."""


@pytest.fixture(
    name="asked",
    scope="module",
    params=[
        ("stylegan2", CLASSES, False),
        pytest.param(("stylegan2", CLASSES, True), marks=pytest.mark.slow),
        pytest.param(("stylegan", CLASSES, True), marks=pytest.mark.slow),
        pytest.param(("progan", 0, True), marks=pytest.mark.slow),
        pytest.param(("stylegan2", 0, True), marks=THOROUGH),
        pytest.param(("stylegan", 0, True), marks=THOROUGH),
        pytest.param(("progan", CLASSES, True), marks=THOROUGH),
    ],
    ids=str,
)
def _asked(request: pytest.FixtureRequest, served: Make) -> Any:
    """A SavedModel of each family, labelled and not; a server optimises its graph."""
    family, classes, optimized = request.param
    return served(family, classes, optimized=optimized)


def latents(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)


def given(asked: Any, **inputs: Any) -> dict[str, Any]:
    """Those of the inputs that the model has."""
    has = {"label": asked.exportable.classes, "labels": asked.exportable.classes}
    has["truncation"] = asked.exportable.style_sampler is not None
    return {name: np.asarray(value) for name, value in inputs.items() if has.get(name, True)}


def test_each_signature_has_its_name_inputs_and_outputs(asked: Any) -> None:
    styled, labelled = asked.exportable.style_sampler is not None, asked.exportable.classes > 0
    names = {"serving_default", "discriminate"} | OF_SEEDS | (OF_STYLES if styled else set())
    if labelled:
        names |= {f"{name}_by_index" for name in ("serving_default", "styles", "mix")} & {
            f"{name}_by_index" for name in names
        }
        names |= {"discriminate_by_index"} if styled else set()
    assert set(asked.signatures) == names
    signatures = signatures_of(asked.exportable)
    for name, request in requests_of(signatures).items():
        definition = asked.signatures[name]
        assert set(definition.inputs) == set(request), name
        assert set(definition.defaults) <= {"count", "label", "truncation"}
        for key, value in request.items():
            shape = [size.size for size in definition.inputs[key].tensor_shape.dim]
            assert shape == ([-1, *value.shape[1:]] if value.ndim else []), (name, key)
            assert tf.as_dtype(definition.inputs[key].dtype) == value.dtype
        answers = asked(name, **request)
        for key, value in answers.items():
            shape = [size.size for size in definition.outputs[key].tensor_shape.dim]
            assert shape == [-1, *value.shape[1:]], (name, key)
            assert len(value) == 3, (name, key)
    assert sum(len(definition.outputs) > 1 for definition in asked.signatures.values()) == (
        # The logits of classes.
        labelled and not styled
    )


def test_images_of_seeds_are_those_of_growgan_generate_bit_for_bit(asked: Any) -> None:
    classes = asked.exportable.classes
    painter, seeds = Painter(asked.exportable.sampler), range(SEED, SEED + 19)
    turns = [place % classes for place in range(19)] if classes else []
    expected = np.concatenate(list(painter.of_seeds(seeds, turns)))
    inputs = given(asked, seed=SEED, count=19, label=-1, truncation=np.float32(1))
    np.testing.assert_array_equal(asked("generate", **inputs)["images"], expected)
    if classes:
        [expected] = painter.of_seeds(seeds[:3], [2, 2, 2])
        inputs |= {"count": np.array(3), "label": np.array(2)}
        np.testing.assert_array_equal(asked("generate", **inputs)["images"], expected)
    if asked.exportable.style_sampler is not None:
        styles = painter.truncated(painter.styles(seeds, turns), 0.7)
        inputs = given(asked, seed=SEED, count=19, label=-1, truncation=np.float32(0.7))
        found = asked("generate", **inputs)["images"]
        np.testing.assert_array_equal(found, painter.images(styles, seeds))


def test_files_and_single_seeds_are_the_images_of_generate(asked: Any) -> None:
    inputs = given(asked, seed=SEED, count=5, label=1, truncation=np.float32(0.5))
    images = asked("generate", **inputs)["images"]
    files = asked("generate_png", **inputs)["image_bytes"]
    pngs = np.stack([tf.io.decode_png(file).numpy() for file in files])
    np.testing.assert_array_equal(pngs, images)
    files = asked("generate_jpeg", **inputs)["image_bytes"]
    jpegs = np.stack([tf.io.decode_jpeg(file).numpy() for file in files])
    assert jpegs.shape == images.shape
    assert all(file.startswith(b"\xff\xd8") for file in files)
    of_rows = given(asked, label=[1], truncation=np.float32([0.5]))
    found = asked("generate_seeds", seeds=SEED + np.array([3, 1]), **of_rows)["images"]
    np.testing.assert_array_equal(found, images[[3, 1]])


def test_interpolation_goes_from_one_image_to_the_other(asked: Any) -> None:
    for_all = given(asked, label=2, truncation=np.float32(0.7))
    ends = asked("generate_seeds", seeds=np.array([8, SEED]), **_rows(for_all))["images"]
    inputs = {"seed": np.array(8), "to_seed": np.array(SEED), **for_all}
    way = asked("interpolate", **inputs, steps=np.array(18))["images"]
    np.testing.assert_array_equal(way[[0, -1]], ends)
    assert len(np.unique(way.reshape(18, -1), axis=0)) == 18
    np.testing.assert_array_equal(
        asked("interpolate", **inputs, steps=np.array(1))["images"], ends[:1]
    )
    still = asked("interpolate", **{**inputs, "to_seed": np.array(8)}, steps=np.array(3))["images"]
    assert np.abs(still.astype(int) - ends[:1]).max() <= 1


def _rows(for_all: dict[str, Any]) -> dict[str, Any]:
    return {name: value[np.newaxis] for name, value in for_all.items()}


def test_latents_are_interpolated_on_an_arc() -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])
    between = latent_sampler(model).between
    first, last = np.float32([2, 0, 0, 0]), np.float32([0, 4, 0, 0])
    shares = np.float32([0, 1 / 3, 0.5, 1])
    angles = shares * np.pi / 2
    expected = np.zeros((4, 4))
    expected[:, 0], expected[:, 1] = 2 * np.cos(angles), 4 * np.sin(angles)
    found = between(first, last, shares).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found[[0, -1]], [first, last])
    for other, middle in ((first, first), (-first, 0 * first), (0 * first, first / 2)):
        found = between(first, other, np.float32([0, 0.5, 1])).numpy()
        np.testing.assert_allclose(found, [first, middle, other], atol=1e-6)


def test_rows_are_images_of_the_model(asked: Any) -> None:
    model, classes = asked.exportable.sampler.model, asked.exportable.classes
    labels = np.eye(3, dtype=np.float32)[[1, 0, 2, 2, 1]]
    z = 2 * latents(5)
    expected = model([z, labels] if classes else z).numpy().clip(-1, 1)
    inputs = given(asked, labels=labels, truncation=np.float32([1]))
    found = asked("serving_default", latents=z, **inputs)["images"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if classes:
        index = given(asked, label=[1, 0, 2, 2, 1], truncation=np.float32([1]))
        again = asked("serving_default_by_index", latents=z, **index)["images"]
        np.testing.assert_array_equal(again, found)


def test_scores_are_those_of_the_discriminator(asked: Any) -> None:
    model = asked.exportable.discriminator
    images = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 3)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[np.arange(8) % 3]
    with_labels = len(model.inputs) > 1
    expected = model([images, labels] if with_labels else images)
    found = asked("discriminate", images=images, **({"labels": labels} if with_labels else {}))
    assert found.keys() == expected.keys()
    expected["scores"] = expected["scores"][:, 0]
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


@as_a_server_too
def test_styles_are_truncated_mixed_and_synthesized(served: Make, optimized: bool) -> None:
    asked = served("stylegan2", CLASSES, optimized=optimized)
    z, others = latents(4), latents(4, seed=1)
    index = {"label": np.array([0, 1, 2, 0])}
    psi = np.float32([1, 0.5, 0, -1])
    plain = asked("styles_by_index", latents=z, **index, truncation=np.float32([1]))["styles"]
    drawn = asked("styles_by_index", latents=z, **index, truncation=psi)["styles"]
    mean = asked.exportable.sampler.truncation.mean.numpy()
    expected = mean + psi[:, None, None] * (plain - mean)
    np.testing.assert_array_equal(drawn[0], plain[0])
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    images = asked("serving_default_by_index", latents=z, **index, truncation=psi)["images"]
    np.testing.assert_allclose(asked("synthesize", styles=drawn)["images"], images, atol=1e-5)
    cutoff = np.array([0, 1, 3, 4])
    other = asked("styles_by_index", latents=others, **index, truncation=psi)["styles"]
    mixed = np.where(np.arange(4)[None, :, None] < cutoff[:, None, None], drawn, other)
    expected = asked("synthesize", styles=mixed)["images"]
    rest = {**index, "truncation": psi}
    found = asked("mix_by_index", latents=z, others=others, cutoff=cutoff, **rest)["images"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@as_a_server_too
def test_what_has_a_default_may_be_left_out(served: Make, optimized: bool) -> None:
    """TensorFlow Serving itself puts in the defaults of a SignatureDef; here the graph does."""
    asked = served("stylegan2", CLASSES, optimized=optimized)
    definition = asked.signatures["generate"]
    defaults = {name: tf.make_ndarray(each) for name, each in definition.defaults.items()}
    assert defaults == {"count": 1, "label": -1, "truncation": 1}
    assert {each.dtype for each in defaults.values()} == {np.dtype("int64"), np.dtype("float32")}
    found = asked("generate", seed=np.array(9))["images"]
    np.testing.assert_array_equal(found, asked("generate", seed=np.array(9), **defaults)["images"])
    labels = np.eye(3, dtype=np.float32)
    found = asked("serving_default", latents=latents(3), labels=labels)["images"]
    one = np.ones(3, np.float32)
    explicit = asked("serving_default", latents=latents(3), labels=labels, truncation=one)
    np.testing.assert_array_equal(found, explicit["images"])


ROW = {"latents": latents(3), "labels": np.eye(3, dtype=np.float32), "truncation": np.ones(3, "f4")}
SEEDS = {
    "seed": np.array(1),
    "count": np.array(2),
    "label": np.array(0),
    "truncation": np.float32(1),
}


@pytest.mark.parametrize(
    ("signature", "changed", "rule"),
    [
        ("generate", {"count": np.array(0)}, "`count` must be 1 to 256. Received: 0"),
        ("generate", {"count": np.array(-3)}, "`count` must be 1 to 256. Received: -3"),
        ("generate", {"count": np.array(257)}, "`count` must be 1 to 256. Received: 257"),
        ("generate", {"count": np.array([1])}, "`count` must be a single number. Received: the "),
        ("generate", {"seed": np.array(-1)}, "`seed` must be 0 to 999999999999999999. Received: -"),
        ("generate", {"seed": np.array([1, 2])}, "`seed` must be a single number. Received: the s"),
        ("generate", {"label": np.array(3)}, "`label` must be -1 to 2. Received: 3"),
        (
            "generate",
            {"truncation": np.float32(np.inf)},
            "`truncation` must be finite. Received:",
        ),
        ("interpolate", {"steps": np.array(999)}, "`steps` must be 1 to 256. Received: 999"),
        ("interpolate", {"label": np.array(-1)}, "`label` must be 0 to 2. Received: -1"),
        ("generate_seeds", {"seeds": np.arange(0)}, "`seeds` must have 1 to 256 rows. Received: 0"),
        ("serving_default", {"latents": latents(300)}, "`latents` must have 1 to 256 rows. Receiv"),
        ("serving_default", {"latents": latents(3)[:, :5]}, "must have the shape (rows, 6). Recei"),
        ("serving_default", {"latents": latents(3)[0]}, "must have the shape (rows, 6). Received"),
        ("serving_default", {"latents": latents(3)[..., None]}, "shape (rows, 6). Received: the s"),
        ("serving_default", {"latents": np.full((1, 6), np.nan, "f4")}, "must be finite. Received"),
        ("serving_default", {"labels": np.eye(2, 3, dtype="f4")}, "`labels` must have one row, or"),
        ("serving_default", {"truncation": np.float32(1)}, "must have the shape (rows,). Received"),
        ("mix", {"cutoff": np.array([9, 0, -1])}, "`cutoff` must be 0 to 4. Received: 9, -1"),
        ("synthesize", {"styles": np.zeros((1, 3, 5), "f4")}, "shape (rows, 4, 5). Received: the"),
        (
            "discriminate",
            {"images": np.zeros((6, 8, 8, 3), "f4"), "labels": np.ones((1, 3), "f4")},
            "`images` must have fewer than 4 rows, or a multiple of 4. Received: 6",
        ),
        ("serving_default_by_index", {"label": np.array([3])}, "`label` must be 0 to 2. Received"),
    ],
)
@as_a_server_too
def test_what_breaks_a_rule_is_refused_by_the_graph(
    served: Make, signature: str, changed: dict[str, Any], rule: str, optimized: bool
) -> None:
    """An optimiser must not take a check to be fulfilled before there is a request."""
    asked = served("stylegan2", CLASSES, optimized=optimized)
    request = requests_of(signatures_of(asked.exportable, [signature]))[signature]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        asked(signature, **{**request, **changed})
    first, *_ = str(caught.value).splitlines()
    assert rule in first


@pytest.mark.parametrize(
    ("name", "value"), [("count", np.float32(1)), ("seed", np.int32(1)), ("truncation", 1.0)]
)
@as_a_server_too
def test_another_dtype_is_refused(served: Make, name: str, value: Any, optimized: bool) -> None:
    asked = served("stylegan2", CLASSES, optimized=optimized)
    with pytest.raises(tf.errors.InvalidArgumentError):
        asked("generate", **{**SEEDS, name: value})


def test_signatures_are_chosen_by_name(restored: Make) -> None:
    exportable = Exportable(latent_sampler(restored("progan", 0, 8).model))
    assert set(signatures_of(exportable, ["interpolate"])) == {"serving_default", "interpolate"}
    with pytest.raises(ValueError, match=r"of the model: serving_default, .*\. Received: mix, x$"):
        signatures_of(exportable, ["x", "mix", "generate"])


def test_examples_are_as_small_as_groups_and_limits_ask(restored: Make) -> None:
    config = StyleGANConfig(fmap_max=4, stddev_group=2)
    pairs = Discriminator(config, channels=3, label_size=2).model(4, fading=False)
    model = restored("progan", CLASSES, 4).model
    requests = requests_of(
        signatures_of(Exportable(latent_sampler(model), discriminator=pairs, limit=3))
    )
    assert {len(value) for value in requests["discriminate"].values()} == {2}
    assert {len(value) for value in requests["discriminate_by_index"].values()} == {2}
    assert requests["generate"]["count"] == 3
    for limit in (2, 10**6 + 1):
        with pytest.raises(ValueError, match=rf"`limit` must be 3 to 1000000\. .* limit={limit}$"):
            Exportable(latent_sampler(model), limit=limit)


def test_nothing_in_a_graph_is_python_or_made_by_us(served: Make) -> None:
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((served("stylegan2", CLASSES).folder / "saved_model.pb").read_bytes())
    [graph] = [each.graph_def for each in model.meta_graphs]
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    functions = {each.signature.name for each in graph.library.function}
    operations = {node.op for node in nodes} - functions
    assert len(operations) > 50
    assert {name for name in operations if not hasattr(tf.raw_ops, name) or "Py" in name} == set()


@as_a_server_too
def test_a_request_to_each_signature_is_recorded(served: Make, optimized: bool) -> None:
    one = served("stylegan2", CLASSES, optimized=optimized)
    recorded = golden.read(one.folder / GOLDEN)
    assert sorted(recorded) == manifest_in(one.folder)["signatures"]
    for name, request in recorded.items():
        for output, value in one(name, **request.inputs).items():
            np.testing.assert_array_equal(value, request.outputs[output])
    assert (one.folder / WARM_UP).stat().st_size > 0
