"""Generation and feature extraction: at the same time against one after the other.

    python tests/benchmarks/bench_extraction.py [--images 2000] [--turns 5]

A generator of ProGAN makes images, and a network gives their features: a classifier as `growgan
features train` makes it, or keras's MobileNetV2 at 224 px, both with random weights, as time does
not depend on them. `together` is what `growgan evaluate` does, `apart` makes all images first, and
takes as long as `making` and `features` do. Each takes its turn in a process of its own; the gain
is the median over the turns. `cores` are those that `together` keeps busy.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from taking_turns import Process, median, processor, ratio, serve, turns_of

TOGETHER, APART, MAKING, FEATURES = "together", "apart", "making", "features"
SYSTEMS = (TOGETHER, APART, MAKING, FEATURES)
SIDES = {"classifier": 32, "MobileNetV2": 64}


def network_of(name: str) -> Any:
    """A feature network with random weights."""
    import keras

    from pipeline.evaluation.features import FeatureNetwork
    from pipeline.evaluation.features.classifier import classifier_model, network_of
    from pipeline.evaluation.features.resizing import antialiased_bicubic

    if name == "classifier":
        return network_of(classifier_model(32, 3, 10, seed=0), tuple("0123456789"))
    model = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
    )

    def forward(images: Any) -> tuple[Any, None]:
        resized = antialiased_bicubic(images, 224)
        return model.predict_on_batch(resized / 127.5 - 1.0), None

    return FeatureNetwork(name, "00", {}, forward, batch=32)


def make(system: str, name: str, images: int) -> Callable[[], Any]:
    """What is timed."""
    from pipeline.evaluation.extraction import extract
    from pipeline.evaluation.generated import GeneratedImages
    from pipeline.families.progan.config import ProGANConfig
    from pipeline.families.progan.networks import Generator
    from pipeline.sampling.painter import Painter
    from pipeline.sampling.sampler import latent_sampler

    side = SIDES[name]
    config = ProGANConfig(latent_size=64, fmap_base=32 * side, fmap_max=128)
    generator = Generator(config, channels=3).model(side, fading=False)
    network, fakes = network_of(name), GeneratedImages(Painter(latent_sampler(generator)), images)
    batches = list(fakes.batches())
    return {
        TOGETHER: lambda: extract(network, fakes.batches()),
        APART: lambda: extract(network, list(fakes.batches())),
        MAKING: lambda: list(fakes.batches()),
        FEATURES: lambda: [network(batch) for batch in joined(batches, network.batch)],
    }[system]


def cores(name: str, images: int) -> float:
    """Seconds of processor time in a second of `together`."""
    step = make(TOGETHER, name, images)
    step()
    start, busy = time.perf_counter(), time.process_time()
    step()
    return (time.process_time() - busy) / (time.perf_counter() - start)


def joined(batches: list[Any], size: int) -> list[Any]:
    """The same images in batches of the network's size."""
    images = np.concatenate(batches)
    return [images[first : first + size] for first in range(0, len(images), size)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(partial(make, options.worker))
        return
    print(f"{processor()}; medians of {options.turns} turns, {options.images} images; seconds")
    print(f"{'features':<14}" + "".join(f"{name:>12}" for name in (*SYSTEMS, "gain", "cores")))
    for name in SIDES:
        processes = {system: Process(__file__, system) for system in SYSTEMS}
        turns = turns_of(processes, name, options.images, turns=options.turns)
        for process in processes.values():
            process.close()
        print(
            f"{name:<14}"
            + "".join(f"{median(turns, system):>12.2f}" for system in SYSTEMS)
            + f"{ratio(turns, APART, TOGETHER):>11.2f}×{cores(name, options.images):>12.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
