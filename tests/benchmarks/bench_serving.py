"""The local server against calling the loaded SavedModel directly.

    python tests/benchmarks/bench_serving.py [--seconds 5] [--turns 5] [--clients 1 8 32]

A generator of ProGAN at 32 px with random weights is exported, and answers latents: loaded in a
process of its own (`direct`), and behind `growgan serve` with and without batching, over gRPC and
REST. In every turn each has its time after direct calls. Of requests: the median and 99th
percentile of milliseconds, and how many times the median is that of a direct call of as many
samples; of all clients together: samples a second, as a share of direct calls of 32 samples.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from taking_turns import Process, processor, serve

LATENT_SIZE = 64
LARGE = 32
TRANSPORTS = ("gRPC", "REST")
SERVERS = ("plain", "batching")
BATCHING = (
    # Half of 32 clients take their answers and ask again while those of the others are computed.
    f"max_batch_size {{ value: {LARGE // 2} }} num_batch_threads {{ value: {os.cpu_count()} }}"
    " batch_timeout_micros { value: 3000 }"  # Else the first to ask has a batch to itself.
)
# A batch beside another leaves nothing to gain by threads that share its operations.
THREADS = ("--tensorflow-intra-op-parallelism", "1")
Ask = Callable[[], Any]


def export_into(repository: Path) -> Path:
    """Write the model."""
    from pipeline.families.progan.config import ProGANConfig
    from pipeline.families.progan.networks import Generator
    from pipeline.sampling.sampler import latent_sampler
    from savedmodels.export import export
    from savedmodels.exportable import Exportable

    config = ProGANConfig(latent_size=LATENT_SIZE, fmap_base=1024, fmap_max=128)
    model = Generator(config, channels=3, label_size=0).model(32, fading=False)
    # The only signature, as others have single numbers in their warm-up, which batching refuses.
    only = ["serving_default"]
    return export(
        Exportable(latent_sampler(model)), repository / "model", 1, lineage={}, names=only
    )


def options_of(name: str, repository: Path) -> tuple[str, ...]:
    """What a server is started with."""
    if name == "plain":
        return ()
    parameters = repository / "batching.config"
    parameters.write_text(BATCHING)
    return ("--enable-batching", "--batching-parameters-file", str(parameters), *THREADS)


def latents_of(samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(samples, LATENT_SIZE)).astype(np.float32)


def direct(folder: str, samples: int) -> Ask:
    """A call of the loaded SavedModel."""
    import tensorflow as tf

    signature = tf.saved_model.load(folder).signatures["serving_default"]
    latents = tf.constant(latents_of(samples))
    return lambda: signature(latents=latents)["images"].numpy()


@contextmanager
def server(repository: Path, options: tuple[str, ...]) -> Iterator[dict[str, int]]:
    """The ports of a server, by transport."""
    command = [sys.executable, "-m", "pipeline.cli", "serve", str(repository)]
    ports = ["--port", "0", "--rest-api-port", "0"]
    with subprocess.Popen(
        [*command, *ports, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().rpartition("REST")[2]
        rest, grpc = (int(part.rpartition(":")[2]) for part in line.split(","))
        try:
            yield {"gRPC": grpc, "REST": rest}
        finally:
            process.terminate()


def over_grpc(port: int, samples: int) -> Ask:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    request.inputs["latents"].CopyFrom(tf.make_tensor_proto(latents_of(samples)))
    return lambda: tf.make_ndarray(stub.Predict(request).outputs["images"])


def over_rest(port: int, samples: int) -> Ask:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"inputs": latents_of(samples).tolist()})

    def ask() -> Any:
        connection.request("POST", "/v1/models/model:predict", body)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return np.array(json.loads(text)["outputs"], np.float32)

    return ask


def times_of(make: Callable[[], Ask], clients: int, seconds: float) -> list[float]:
    """Seconds of every request that clients make one after another, all at once."""
    ready = threading.Barrier(clients)

    def run() -> list[float]:
        ask = make()
        ask()
        ready.wait()
        times: list[float] = []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            ask()
            times.append(time.perf_counter() - start)
        return times

    with ThreadPoolExecutor(clients) as threads:
        work = [threads.submit(run) for _ in range(clients)]
        return [seconds for one in work for seconds in one.result()]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(partial(direct, options.worker))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that no server is left behind.
    make = {"gRPC": over_grpc, "REST": over_rest}
    with ExitStack() as stack:
        repository = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = export_into(repository)
        loaded = Process(__file__, str(folder))
        stack.callback(loaded.close)
        ports = {
            name: stack.enter_context(server(repository, options_of(name, repository)))
            for name in SERVERS
        }
        print(f"{processor()}; medians of {options.turns} turns of {options.seconds} s")
        print("server    over  clients  samples      p50      p99   × direct  samples/s  of direct")
        for samples in options.samples:
            for clients in options.clients:
                rows: dict[tuple[str, str], list[list[float]]] = {}
                for _ in range(options.turns):
                    for name in SERVERS:
                        for transport in TRANSPORTS:
                            alone = loaded.seconds(samples)
                            large = LARGE / loaded.seconds(LARGE)
                            ask = partial(make[transport], ports[name][transport], samples)
                            times = times_of(ask, clients, options.seconds)
                            p50, p99 = np.quantile(times, [0.5, 0.99])
                            rate = len(times) * samples / options.seconds
                            rows.setdefault((name, transport), []).append(
                                [p50 * 1e3, p99 * 1e3, p50 / alone, rate, rate / large]
                            )
                for (name, transport), turns in rows.items():
                    p50, p99, slower, rate, share = map(statistics.median, zip(*turns, strict=True))
                    print(
                        f"{name:<9} {transport:<5} {clients:>7} {samples:>8} {p50:>8.2f} "
                        f"{p99:>8.2f} {slower:>9.2f}× {rate:>10.0f} {share:>9.0%}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
