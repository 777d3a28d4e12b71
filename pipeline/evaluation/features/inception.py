"""Feature network `inception:FILE`: the 2015 Inception of published FIDs, from a frozen graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from pipeline.errors import UserError
from pipeline.evaluation.features.network import FeatureNetwork, Images, with_channels
from pipeline.evaluation.features.resizing import antialiased_bicubic, tensorflow1_bilinear
from savedmodels.checksum import checksum

ARCHIVE = "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
FILE = "classify_image_graph_def.pb"  # Name of the graph in the archive.
BYTES = 95_673_916  # Size of the graph in bytes.
SIDE = 299  # Side of the network's input in pixels.
BATCH = 32
INPUT, POOL, LOGITS = "ResizeBilinear", "pool_3", "softmax/logits/MatMul"
"""Node names: resized image (0 to 255), features, and features × class weights (no biases)."""
HARMLESS = {"CheckNumerics"}
"""Operations without a real state, marked stateful only so that graph optimisers keep them."""
FLOAT32 = tf.float32.as_datatype_enum
RESIZES = {
    "tensorflow1": ("bilinear of TensorFlow 1", tensorflow1_bilinear),
    "clean": ("antialiased bicubic of Pillow", antialiased_bicubic),
}
"""Name in the protocol and function of each resize filter, by the value of `?resize=`."""


def open_inception(spec: str) -> FeatureNetwork:
    """Open Inception from a frozen graph.

    Features are the 2,048 values of `pool_3`; probabilities are those of the 1,008 classes. Any
    graph with the published node names works; scores record the hash of the file.

    Args:
        spec: `FILE` to resize images as TensorFlow 1, `FILE?resize=clean` to resize as clean-fid.

    Raises:
        UserError: if the file is missing, or is not a graph with these nodes.
    """
    path, _, resize = spec.partition("?resize=")
    if resize and resize not in RESIZES:
        raise UserError(f"`?resize=` must be one of {', '.join(RESIZES)}. Received: {resize}")
    file = Path(path).expanduser()
    if not path or not file.is_file():
        raise UserError(
            f"`inception:FILE` must be the path of {FILE} ({BYTES:,} bytes). Nothing is downloaded "
            f"here: unpack it from {ARCHIVE}. "
            f"Received: {f'{path}, which is not a file' if path else 'no path'}"
        )
    filter_name, resize_images = RESIZES[resize or "tensorflow1"]
    run = _load_graph(*_read_graph(file), file)

    def forward(images: Images) -> Any:
        # Pass 0 to 255: the graph itself scales to [-1, 1), by (x - 128) / 128.
        return run(resize_images(with_channels(images, 3, "inception"), SIDE))

    protocol = {
        "resize": filter_name,
        "side": str(SIDE),
        "layer": POOL,
        "classes": "without biases",
    }
    return FeatureNetwork("inception", checksum(file), protocol, forward, batch=BATCH)


def _read_graph(file: Path) -> tuple[tf.compat.v1.GraphDef, str]:
    """Read the subgraph of features and class weights; return it with the weights' node name."""
    rule = f"`inception:FILE` must be a frozen graph with the nodes of {FILE}"
    content = file.read_bytes()
    try:
        graph = tf.compat.v1.GraphDef.FromString(content)
    except Exception as error:  # Protobuf's own error; protobuf is no direct dependency.
        raise UserError(f"{rule}. Received: {file}, which is not a graph") from error
    nodes = {node.name: node for node in graph.node}
    if missing := {INPUT, POOL, LOGITS} - set(nodes):
        names = ", ".join(sorted(missing))
        raise UserError(f"{rule}. Received: {file}, without {names}")
    weights = _node_of((*nodes[LOGITS].input, "", "")[1])
    # Leave out the logits: from the features to them, the graph is fixed to one image per batch.
    wanted = [POOL, weights]
    kept: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in kept:
            continue
        if name not in nodes:
            raise UserError(f"{rule}. Received: {file}, without {name}")
        kept.add(name)
        if name != INPUT:
            wanted += [_node_of(tensor) for tensor in nodes[name].input]
    # Refuse stateful operations: a graph is a program, and only they can reach files or run Python.
    stateful = sorted({nodes[name].op for name in kept if _has_state(nodes[name].op)})
    if stateful:
        raise UserError(
            f"{rule}, all without a state. Received: {file}, with {', '.join(stateful)}"
        )
    pruned = tf.compat.v1.GraphDef(versions=graph.versions)
    for node in graph.node:
        if node.name == INPUT:  # Replace the graph's resizing by images that we have resized.
            pruned.node.add(name=INPUT, op="Placeholder").attr["dtype"].type = FLOAT32
        elif node.name in kept:
            pruned.node.append(node)
    return pruned, weights


def _node_of(tensor: str) -> str:
    """Return the node's name in a reference such as `^name` or `name:0`."""
    return tensor.lstrip("^").partition(":")[0]


def _has_state(operation: str) -> bool:
    known = op_def_registry.get(operation)
    return known is None or (known.is_stateful and operation not in HARMLESS)


def _load_graph(graph_def: tf.compat.v1.GraphDef, weights_node: str, file: Path) -> Any:
    """Make a function of float32 images `(32, 299, 299, 3)`, 0 to 255 → features, probabilities."""
    # Use a TensorFlow 1 session: TensorFlow 2 functions refuse the graph's normalisation nodes.
    graph = tf.Graph()
    try:
        with graph.as_default():
            # Fix the batch size: the last bits of the features may depend on it.
            images = tf.compat.v1.placeholder(tf.float32, (BATCH, SIDE, SIDE, 3))
            pool, weights = tf.import_graph_def(
                graph_def, {INPUT: images}, [f"{POOL}:0", f"{weights_node}:0"], name=""
            )
            features = tf.reshape(pool, (BATCH, weights.shape[0]))
            # Add no biases, as in the published code of the Inception score (arXiv:1606.03498).
            probabilities = tf.nn.softmax(features @ weights)
        session = tf.compat.v1.Session(graph=graph)
    except (ValueError, TypeError, IndexError, tf.errors.OpError) as error:
        raise UserError(
            f"`inception:FILE` must be a frozen graph that TensorFlow runs. Received: {file} "
            f"({' '.join(str(error).split())[:200]})"
        ) from error
    return lambda batch: session.run((features, probabilities), {images: batch})
