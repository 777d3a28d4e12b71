"""The contract that every layer keeps, and the gradients that prove it."""

from __future__ import annotations

import functools
import inspect
import json
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

Shapes = Sequence[tuple[int, ...]]
Arrays = list[np.ndarray]
Reference = Callable[..., np.ndarray]

MIXED = {"mixed_bfloat16": ml_dtypes.bfloat16, "mixed_float16": np.float16}


@dataclass(frozen=True)
class Case:
    """One layer with one configuration, on inputs and weights drawn from a fixed seed."""

    layer_class: type[keras.layers.Layer]
    config: dict[str, Any]
    shapes: Shapes

    def layer(self, dtype: str) -> keras.layers.Layer:
        """A built layer, whose every weight is a normal draw."""
        layer = self.layer_class(**self.config, dtype=dtype)
        layer.build(_one_or_list([tuple(shape) for shape in self.shapes]))
        rng = np.random.default_rng(1)
        layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
        return layer

    def inputs(self) -> Arrays:
        """Normal draws that float32 holds exactly."""
        rng = np.random.default_rng(2)
        return [rng.normal(size=shape).astype("float32").astype("float64") for shape in self.shapes]


@dataclass(frozen=True)
class Gradients:
    """Gradient of `f = sum(slope·y + y²/2)`, and that of its penalty `p = sum((df/dinputs)²)`.

    Both run over the inputs, then over the trainable weights.
    """

    objective: float
    first: Arrays
    penalty: float
    second: Arrays


def slopes(shape: tuple[int, ...]) -> np.ndarray:
    """The fixed slopes by which an output becomes the scalar that is differentiated."""
    return np.cos(np.arange(math.prod(shape), dtype="float64")).reshape(shape)


def gradients(layer: keras.layers.Layer, inputs: Arrays, penalty: bool = True) -> Gradients:
    """Differentiate a layer once and, for the penalty, twice on TensorFlow."""
    tensors = [tf.constant(x, layer.variable_dtype) for x in inputs]
    sources = [*tensors, *(weight.value for weight in layer.trainable_weights)]
    kept = {"unconnected_gradients": tf.UnconnectedGradients.ZERO}
    with tf.GradientTape() as outer:
        outer.watch(tensors)
        with tf.GradientTape() as inner:
            inner.watch(tensors)
            outputs = tf.cast(layer(_one_or_list(tensors)), layer.variable_dtype)
            slope = tf.constant(slopes(outputs.shape), outputs.dtype)
            objective = tf.reduce_sum(slope * outputs + outputs**2 / 2)
        first = inner.gradient(objective, sources, **kept)
        squares = tf.add_n([tf.reduce_sum(g**2) for g in first[: len(tensors)]])
    second = outer.gradient(squares, sources, **kept) if penalty else []
    return Gradients(
        float(objective), [g.numpy() for g in first], float(squares), [g.numpy() for g in second]
    )


@pytest.fixture(name="gradients", scope="session")
def _gradients() -> Callable[..., Gradients]:
    return gradients


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Prove the contract of each case in two tests: up to gradients, and of the second order."""
    if "order" in metafunc.fixturenames:
        second = pytest.param(2, id="second order", marks=pytest.mark.slow)
        metafunc.parametrize("order", [pytest.param(1, id="first order"), second])


@pytest.fixture(scope="session")
def on_jax(
    request: pytest.FixtureRequest,
    jax_process: Callable[[str, Path], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[pytest.Function, str], Arrays]:
    """Results on JAX for each collected contract test. All of one order are computed at once."""
    items = [
        item
        for item in request.session.items
        if "run_layer_contract" in getattr(item, "fixturenames", ())
    ]

    @functools.cache
    def computed(order: int) -> dict[str, dict[str, Arrays]]:
        folder = tmp_path_factory.mktemp("layers")
        nodes = [node for node in items if node.callspec.params["order"] == order]
        layers, arrays = [], {}
        for index, node in enumerate(nodes):
            case = _case_of(node)
            layer = case.layer("float32")
            layers.append(keras.saving.serialize_keras_object(layer))
            inputs = case.inputs()
            outputs = _call(layer, inputs)
            given = {
                "input": inputs,
                "weight": layer.get_weights(),
                "slope": [slopes(outputs.shape)],
            }
            for kind, values in given.items():
                arrays |= {f"{index}/{kind}/{k}": value for k, value in enumerate(values)}
        (folder / "layers.json").write_text(json.dumps({"order": order, "layers": layers}))
        np.savez(folder / "given.npz", **arrays)
        jax_process("tests.layers.evaluate_on_jax", folder)
        found: dict[str, dict[str, Arrays]] = {node.nodeid: {} for node in nodes}
        for key, value in np.load(folder / "found.npz").items():
            index, kind, _ = key.split("/")
            found[nodes[int(index)].nodeid].setdefault(kind, []).append(value)
        return found

    def results(node: pytest.Function, kind: str) -> Arrays:
        return computed(node.callspec.params["order"])[node.nodeid].get(kind, [])

    return results


@pytest.fixture
def run_layer_contract(
    request: pytest.FixtureRequest,
    on_jax: Callable[[pytest.Function, str], Arrays],
    order: int,
    tmp_path: Path,
) -> Callable[..., None]:
    """Prove the contract for the parameter `(layer_class, config, shapes)` of the test.

    `reference(inputs, weights, **config)` is the layer's formula in float64 NumPy, with the weights
    by their names. `statistics` says that the layer takes statistics, which must be in float32.
    """
    case = _case_of(request.node)

    def run(reference: Reference, statistics: bool = False) -> None:
        if order == 2:
            _has_right_gradients_of_its_penalty(case)
            _keeps_mixed_precision(case, penalty=True)
        else:
            _agrees_with_its_formula(case, reference)
            _serialises(case)
            _survives_a_file(case, tmp_path / "model.keras")
            _knows_its_shape(case)
            _takes_any_batch(case)
            _has_right_gradients(case, reference)
            _keeps_mixed_precision(case, penalty=False)
            if statistics:
                _takes_statistics_in_float32(case)
        _is_the_same_on_jax(case, order, lambda kind: on_jax(request.node, kind))

    return run


def _agrees_with_its_formula(case: Case, reference: Reference) -> None:
    expected = reference(case.inputs(), _by_name(case.layer("float64")), **case.config)
    for dtype, tolerance in {"float64": 1e-12, "float32": 1e-5}.items():
        outputs = _call(case.layer(dtype), case.inputs())
        assert outputs.dtype == dtype
        _assert_close(outputs, expected, tolerance)


def _serialises(case: Case) -> None:
    unbuilt = case.layer_class(**case.config, name="subject")
    built = case.layer("float32")
    config = {**built.get_config(), "name": "subject"}
    assert unbuilt.get_config() == config
    arguments = set(inspect.signature(case.layer_class).parameters) - {"kwargs"}
    assert arguments <= config.keys(), "an argument is missing from the configuration"
    assert case.layer_class.from_config(config).get_config() == config
    # Networks give a policy as an object, of which Keras makes up no configuration by itself.
    policed = case.layer_class(**{**case.config, "dtype": keras.DTypePolicy("float32")})
    assert case.layer_class.from_config(policed.get_config()).get_config() == policed.get_config()
    archive = json.loads(json.dumps(keras.saving.serialize_keras_object(built)))
    copy = keras.saving.deserialize_keras_object(archive)
    assert type(copy) is case.layer_class
    assert copy.get_config() == built.get_config()
    assert [w.shape for w in copy.weights] == [w.shape for w in built.weights]


def _survives_a_file(case: Case, path: Path) -> None:
    layer = case.layer("float32")
    model = _model_of(layer, case.shapes)
    with warnings.catch_warnings():
        # Keras 3.15 converts its variables by an `__array__` that lacks NumPy 2's `copy`.
        warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept a copy")
        model.save(path)
    inputs = _one_or_list([x.astype("float32") for x in case.inputs()])
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


def _knows_its_shape(case: Case) -> None:
    layer = case.layer("float32")
    shape = _call(layer, case.inputs()).shape
    assert layer.compute_output_shape(_one_or_list(case.shapes)) == shape
    model = _model_of(layer, case.shapes)
    assert model.output_shape == (None, *shape[1:])
    fully_unknown = [(*(None for _ in given[:-1]), given[-1]) for given in case.shapes]
    unknown = layer.compute_output_shape(_one_or_list(fully_unknown))
    assert len(unknown) == len(shape)
    assert all(side in (None, known) for side, known in zip(unknown, shape, strict=True))


def _takes_any_batch(case: Case) -> None:
    layer = case.layer("float32")
    traces = []

    @tf.function(
        input_signature=[tf.TensorSpec((None, *shape[1:]), "float32") for shape in case.shapes]
    )
    def call(*tensors: tf.Tensor) -> tf.Tensor:
        outputs = layer(_one_or_list(tensors))
        traces.append(outputs.shape)
        return outputs

    whole = case.inputs()
    for inputs in (whole, [x[: max(1, len(x) // 2)] for x in whole]):
        expected = _call(layer, inputs)
        _assert_close(call(*(x.astype("float32") for x in inputs)), expected, 1e-6)
    assert [tuple(shape) for shape in traces] == [(None, *expected.shape[1:])]


def _has_right_gradients(case: Case, reference: Reference) -> None:
    layer = case.layer("float64")
    inputs, weights = case.inputs(), _by_name(layer)
    trainable = [_name(weight) for weight in layer.trainable_weights]

    def formula(inputs: Arrays, changed: Arrays) -> float:
        named = weights | dict(zip(trainable, changed, strict=True))
        outputs = reference(inputs, named, **case.config)
        return float(np.sum(slopes(outputs.shape) * outputs + outputs**2 / 2))

    found = gradients(layer, inputs, penalty=False).first
    _assert_slopes(formula, found, inputs, [weights[name] for name in trainable])


def _has_right_gradients_of_its_penalty(case: Case) -> None:
    layer = case.layer("float64")

    def penalty(inputs: Arrays, changed: Arrays) -> float:
        for weight, value in zip(layer.trainable_weights, changed, strict=True):
            weight.assign(value)
        return gradients(layer, inputs, penalty=False).penalty

    weights = [weight.numpy() for weight in layer.trainable_weights]
    _assert_slopes(penalty, gradients(layer, case.inputs()).second, case.inputs(), weights)


def _assert_slopes(
    function: Callable[[Arrays, Arrays], float], gradient: Arrays, inputs: Arrays, weights: Arrays
) -> None:
    """Compare a gradient with central differences of its function, along a random direction."""
    rng = np.random.default_rng(3)
    point = [*inputs, *weights]
    for k in range(len(point)):
        direction = rng.normal(size=point[k].shape)
        step = 1e-5 / max(1.0, float(np.abs(direction).max()))
        ends = []
        for sign in (1, -1):
            moved = [*point]
            moved[k] = point[k] + sign * step * direction
            ends.append(function(moved[: len(inputs)], moved[len(inputs) :]))
        slope = (ends[0] - ends[1]) / (2 * step)
        size = max(1.0, float(np.linalg.norm(gradient[k]) * np.linalg.norm(direction)))
        assert np.vdot(gradient[k], direction) == pytest.approx(slope, rel=0, abs=1e-6 * size)


def _keeps_mixed_precision(case: Case, penalty: bool) -> None:
    single = case.layer("float32")
    expected = _call(single, case.inputs())
    for policy, dtype in MIXED.items():
        layer = case.layer(policy)
        outputs = _call(layer, case.inputs())
        assert outputs.dtype == dtype
        assert all(weight.dtype == "float32" for weight in layer.weights)
        _assert_close(outputs, expected, 8 * float(ml_dtypes.finfo(dtype).eps))
        found = gradients(layer, case.inputs(), penalty)
        assert all(np.isfinite(g).all() for g in (*found.first, *found.second))


def _takes_statistics_in_float32(case: Case) -> None:
    features, *others = case.inputs()
    huge = [(features * 1e4).astype("float16"), *others]
    assert (np.abs(huge[0]) > 256).any(), "no square overflows float16"
    outputs = _call(case.layer("mixed_float16"), huge)
    expected = _call(case.layer("float32"), huge)
    _assert_close(outputs, expected, 8 * float(np.finfo("float16").eps))


def _is_the_same_on_jax(case: Case, order: int, results: Callable[[str], Arrays]) -> None:
    layer = case.layer("float32")
    expected = gradients(layer, case.inputs(), penalty=order == 2)
    outputs = _call(layer, case.inputs())
    pairs = (
        {"jit": [outputs], "first": expected.first}
        if order == 1
        else {"eager": [outputs], "second": expected.second}
    )
    for kind, arrays in pairs.items():
        found = results(kind)
        assert len(found) == len(arrays), kind
        for ours, theirs in zip(arrays, found, strict=True):
            _assert_close(theirs, ours, 2e-5)


def _case_of(node: pytest.Function) -> Case:
    return Case(*node.callspec.params["run_layer_contract"])


def _model_of(layer: keras.layers.Layer, shapes: Shapes) -> keras.Model:
    inputs = [keras.Input(shape[1:]) for shape in shapes]
    return keras.Model(_one_or_list(inputs), layer(_one_or_list(inputs)))


def _call(layer: keras.layers.Layer, inputs: Arrays) -> np.ndarray:
    tensors = [tf.constant(x, layer.variable_dtype) for x in inputs]
    return layer(_one_or_list(tensors)).numpy()


def _name(weight: keras.Variable) -> str:
    """The path of a weight below its layer."""
    return weight.path.split("/", 1)[1]


def _by_name(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    return {_name(weight): weight.numpy() for weight in layer.weights}


def _one_or_list(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Compare to a tolerance that is relative to the largest expected value, or to 1."""
    actual, expected = (np.asarray(x).astype("float64") for x in (actual, expected))
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)
