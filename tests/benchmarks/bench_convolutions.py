"""How much of a step its convolutions take when they run alone: what is left to gain without them.

    python tests/benchmarks/bench_convolutions.py [--resolutions 32 64] [--widths 64 128]

The convolutions of a step, forward and both gradients, are found in its graph, and run with the
same shapes and types on random tensors, none waiting for another. The step and they take turns in
processes of their own. "Alone" is the share of the machine's convolution peak that they reach so: a
step that is made of them and nothing else would reach no more.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import Any

from bench_step import (
    SYSTEMS,
    THREADS,
    compiled_step,
    config_of,
    gflop_of_step,
    measured_peak,
    our_step,
)
from taking_turns import Process, Step, median, processor, ratio, serve, turns_of

INPUT, FILTER = "Conv2DBackpropInput", "Conv2DBackpropFilter"
CONVOLUTIONS = ("Conv2D", INPUT, FILTER)


def convolutions(precision: str, resolution: int, width: int) -> Step:
    """Those of a step, and nothing else."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    step, batch = compiled_step(config_of(precision, resolution, width))
    clock, alpha = tf.constant(0, tf.int64), tf.constant(1.0)
    graph = step.finish.get_concrete_function(batch, clock, alpha).graph
    found = [each for each in computed_in(graph) if each.type in CONVOLUTIONS]
    images = {_key(tensor): _random(tensor, 0) for tensor in map(_images_of, found)}
    # Each has a tensor of its own: equal operations would be computed once.
    own = [_random(each.inputs[1 if each.type != FILTER else 2], n) for n, each in enumerate(found)]

    @tf.function(autograph=False)
    def call(images: dict[Any, Any], own: list[Any]) -> Any:
        outputs = [
            _again(each, images[_key(_images_of(each))], mine)
            for each, mine in zip(found, own, strict=True)
        ]
        return tf.add_n([tf.cast(output[0, 0, 0, 0], tf.float32) for output in outputs])

    return lambda: float(call(images, own))


def computed_in(graph: Any) -> list[Any]:
    """The operations that something hangs on: TensorFlow drops the others."""
    found: dict[str, Any] = {}
    waiting = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found[operation.name] = operation
            waiting += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
    return list(found.values())


def _images_of(operation: Any) -> Any:
    """The images that an operation reads, or their gradient."""
    return operation.inputs[2 if operation.type == INPUT else 0]


def _key(tensor: Any) -> tuple[Any, ...]:
    return (*tensor.shape, tensor.dtype.name)


def _random(tensor: Any, number: int) -> Any:
    import tensorflow as tf

    return tf.cast(tf.random.stateless_normal(tensor.shape, (0, number)), tensor.dtype)


def _again(operation: Any, images: Any, own: Any) -> Any:
    """The operation on other tensors: a kernel of its own, or a gradient, and given images."""
    import tensorflow as tf

    size = operation.outputs[0].shape.as_list()
    how = {
        "strides": operation.get_attr("strides"),
        "padding": operation.get_attr("padding").decode(),
    }
    match operation.type:
        case "Conv2DBackpropInput":
            return tf.raw_ops.Conv2DBackpropInput(
                input_sizes=size, filter=own, out_backprop=images, **how
            )
        case "Conv2DBackpropFilter":
            return tf.raw_ops.Conv2DBackpropFilter(
                input=images, filter_sizes=size, out_backprop=own, **how
            )
        case _:
            return tf.raw_ops.Conv2D(input=images, filter=own, **how)


def make(system: str, precision: str, resolution: int, width: int) -> Step:
    return {"step": our_step, "convolutions": convolutions}[system](precision, resolution, width)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    if options.worker:
        serve(partial(make, options.worker))
        return

    processes = {system: Process(__file__, system) for system in ("step", "convolutions")}
    print(processor())
    print(
        f"{'px':>4}{'width':>6} {'precision':>15}{'step':>8}{'of peak':>9}{'alone':>8}{'ratio':>7}"
    )
    for precision in SYSTEMS[1:]:
        peak = measured_peak(precision)
        for width in options.widths:
            for resolution in options.resolutions:
                turns = turns_of(processes, precision, resolution, width)
                share, alone = (
                    gflop_of_step(resolution, width) / median(turns, system) / peak
                    for system in ("step", "convolutions")
                )
                print(
                    f"{resolution:>4}{width:>6} {precision:>15}{median(turns, 'step'):>8.3f}"
                    f"{share:>9.0%}{alone:>8.0%}{ratio(turns, 'step', 'convolutions'):>7.2f}",
                    flush=True,
                )
    for process in processes.values():
        process.close()


if __name__ == "__main__":
    main()
