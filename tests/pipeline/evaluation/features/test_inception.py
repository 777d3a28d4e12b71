"""A frozen graph with the nodes of the published one, small enough to be computed by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import UserError
from pipeline.evaluation.features import open_features
from pipeline.evaluation.features.resizing import antialiased_bicubic, tensorflow1_bilinear

MAPS, CLASSES = 6, 9
EPSILON = 0.001
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)


def values() -> dict[str, np.ndarray]:
    draws = np.random.default_rng(0)
    shapes = {"kernel": (1, 1, 3, MAPS), "mean": (MAPS,), "beta": (MAPS,), "gamma": (MAPS,)}
    shapes |= {"classes": (MAPS, CLASSES), "biases": (CLASSES,)}
    made = {name: draws.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return made | {"variance": np.linspace(0.5, 2, MAPS, dtype=np.float32)}


def frozen() -> tf.compat.v1.GraphDef:
    """From a JPEG to classes as in the published graph, with one convolution in between."""
    known = values()
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        contents = v1.placeholder(tf.string, (), name="DecodeJpeg/contents")
        decoded = tf.io.decode_jpeg(contents, 3, name="DecodeJpeg")
        batch = tf.expand_dims(tf.cast(decoded, tf.float32, name="Cast"), 0, name="ExpandDims")
        size = tf.constant([299, 299], name="ResizeBilinear/size")
        resized = tf.raw_ops.ResizeBilinear(images=batch, size=size, name="ResizeBilinear")
        x = v1.multiply(v1.subtract(resized, 128.0, name="Sub"), 0.0078125, name="Mul")
        kernel = tf.constant(known["kernel"], name="conv/conv2d_params")
        x = v1.nn.conv2d(x, kernel, strides=[1] * 4, padding="SAME", name="conv/Conv2D")
        x = v1.identity(x, name="conv/batchnorm")
        for name in ("mean", "variance", "beta", "gamma"):
            tf.constant(known[name], name=f"conv/batchnorm/{name}")
        x = v1.nn.relu(v1.debugging.check_numerics(x, "not finite", name="conv/Check"), name="conv")
        pool = v1.nn.avg_pool(x, [1, 299, 299, 1], [1] * 4, "VALID", name="pool_3")
        row = tf.reshape(pool, (1, MAPS), name="pool_3/_reshape")
        matrix = tf.constant(known["classes"], name="softmax/weights")
        product = v1.matmul(row, matrix, name="softmax/logits/MatMul")
        logits = v1.nn.bias_add(product, tf.constant(known["biases"]), name="softmax/logits")
        v1.nn.softmax(logits, name="softmax")
    graph_def = graph.as_graph_def()
    # The published graph has a normalisation that TensorFlow knows in graphs before version 9 only.
    graph_def.versions.producer = 8
    [node] = [node for node in graph_def.node if node.name == "conv/batchnorm"]
    node.op = "BatchNormWithGlobalNormalization"
    node.input.extend(f"conv/batchnorm/{name}" for name in ("mean", "variance", "beta", "gamma"))
    node.attr["variance_epsilon"].f = EPSILON
    node.attr["scale_after_normalization"].b = True
    return graph_def


def features_by_hand(resized: np.ndarray) -> np.ndarray:
    known = values()
    x = (resized.astype(np.float64) - 128) / 128 @ known["kernel"][0, 0]
    x = (x - known["mean"]) / np.sqrt(known["variance"] + EPSILON) * known["gamma"] + known["beta"]
    return np.maximum(x, 0).mean(axis=(1, 2))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "classify_image_graph_def.pb"
    path.write_bytes(frozen().SerializeToString())
    return path


@pytest.mark.parametrize(
    ("option", "resize"),
    [
        ("", tensorflow1_bilinear),
        ("?resize=tensorflow1", tensorflow1_bilinear),
        ("?resize=clean", antialiased_bicubic),
    ],
)
def test_features_and_probabilities_are_those_of_the_formula(
    file: Path, option: str, resize: Callable[[np.ndarray, int], np.ndarray]
) -> None:
    found = open_features(f"inception:{file}{option}")(IMAGES)
    expected = features_by_hand(resize(IMAGES, 299))
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-4, atol=1e-5)
    scores = np.exp(expected @ values()["classes"])  # without the biases
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, probabilities, rtol=1e-4)


def test_the_resize_is_that_of_the_graph_itself(file: Path) -> None:
    graph_def = tf.compat.v1.GraphDef.FromString(file.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            own = [
                session.run("pool_3/_reshape:0", {"ExpandDims:0": image[None]})[0]
                for image in IMAGES.astype(np.float32)
            ]
    mine = open_features(f"inception:{file}")(IMAGES).vectors
    np.testing.assert_allclose(mine, own, rtol=1e-5)


def test_grey_images_and_parts_of_a_batch(file: Path) -> None:
    network = open_features(f"inception:{file}")
    grey = IMAGES[..., :1]
    repeated = network(np.repeat(grey, 3, axis=-1)).vectors
    np.testing.assert_array_equal(network(grey).vectors, repeated)
    single = np.concatenate([network(image[None]).vectors for image in IMAGES])
    np.testing.assert_array_equal(single, network(IMAGES).vectors)


def test_the_identity_follows_from_the_file_and_the_resize(file: Path, tmp_path: Path) -> None:
    network = open_features(f"inception:{file}")
    assert network.weights_hash == hashlib.sha256(file.read_bytes()).hexdigest()
    changed = frozen()
    changed.node[0].attr["_note"].s = b"another file"
    (tmp_path / "other.pb").write_bytes(changed.SerializeToString())
    others = [f"inception:{file}?resize=clean", f"inception:{tmp_path / 'other.pb'}"]
    assert len({network.identity, *(open_features(spec).identity for spec in others)}) == 3
    assert open_features(f"inception:{file}?resize=tensorflow1").identity == network.identity


def test_an_absent_file_says_which_and_from_where(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"classify_image_graph_def\.pb") as caught:
        open_features(f"inception:{tmp_path / 'absent.pb'}")
    message = str(caught.value)
    assert "inception-2015-12-05.tgz" in message
    assert "95,673,916 bytes" in message
    assert f"Received: {tmp_path / 'absent.pb'}" in message
    assert "\n" not in message


def test_other_files_are_refused_in_one_line(file: Path, tmp_path: Path) -> None:
    def refused(content: bytes, rule: str) -> None:
        path = tmp_path / "other.pb"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rule) as caught:
            open_features(f"inception:{path}")
        assert "\n" not in str(caught.value)

    refused(b"no graph at all", "which is not a graph")
    refused(tf.compat.v1.GraphDef().SerializeToString(), "without ResizeBilinear, pool_3, softmax")
    half = frozen()
    [relu] = [node for node in half.node if node.name == "conv"]
    relu.input[0] = "nowhere"
    refused(half.SerializeToString(), "without nowhere")
    [relu] = [node for node in half.node if node.name == "conv"]
    relu.input[0], relu.input[1:] = "softmax/weights", []
    refused(half.SerializeToString(), "that TensorFlow runs")
    with pytest.raises(UserError, match=r"tensorflow1, clean\. Received: best"):
        open_features(f"inception:{file}?resize=best")


def test_a_graph_that_would_write_a_file_is_refused(tmp_path: Path) -> None:
    graph_def, written = frozen(), tmp_path / "written"
    with tf.Graph().as_default() as graph:
        tf.raw_ops.WriteFile(filename=str(written), contents="harm", name="harm")
    graph_def.node.extend(graph.as_graph_def().node)
    [pool] = [node for node in graph_def.node if node.name == "pool_3"]
    pool.input.append("^harm")
    (tmp_path / "harm.pb").write_bytes(graph_def.SerializeToString())
    with pytest.raises(UserError, match=r"without a state\. Received: .*, with WriteFile"):
        open_features(f"inception:{tmp_path / 'harm.pb'}")(IMAGES)
    assert not written.exists()
