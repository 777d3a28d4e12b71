"""Count requests and latencies under TensorFlow Serving's names, for Prometheus."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Iterable, Sequence

PATH = "/monitoring/prometheus/metrics"
_LIMITS = [10 * 1.8**power for power in range(33)]  # microseconds, as in TensorFlow Serving
# Written without Prometheus' client library, which appends `_total` to the names of counters.
_COUNT = ":tensorflow:serving:request_count"
_LATENCIES = {
    "request_latency": ("model_name", "API", "entrypoint"),
    "runtime_latency": ("model_name", "API", "runtime"),
    "model_warmup_latency": ("model_path", "status"),
}


class _Histogram:
    def __init__(self) -> None:
        self.buckets = [0] * (len(_LIMITS) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.buckets[bisect.bisect_right(_LIMITS, value)] += 1
        self.sum += value


class Metrics:
    """Metrics since the server's start; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._histograms: dict[str, dict[tuple[str, ...], _Histogram]] = {
            name: {} for name in _LATENCIES
        }

    def count_request(self, model: str, status: str) -> None:
        """Count one prediction under its model and canonical code."""
        with self._lock:
            self._counts[model, status] += 1

    def add_latency(self, name: str, labels: tuple[str, ...], seconds: float) -> None:
        """Add seconds to `request_latency`, `runtime_latency` or `model_warmup_latency`."""
        with self._lock:
            self._histograms[name].setdefault(labels, _Histogram()).add(seconds * 1e6)

    def page(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        with self._lock:
            lines = [f"# TYPE {_COUNT} counter"]
            for labels, count in self._counts.items():
                lines.append(f"{_COUNT}{_labels(('model_name', 'status'), labels)} {count}")
            for name, histograms in self._histograms.items():
                lines.extend(_page_of(f":tensorflow:serving:{name}", _LATENCIES[name], histograms))
        return ("\n".join(lines) + "\n").encode()


def _page_of(
    name: str, label_names: Sequence[str], histograms: dict[tuple[str, ...], _Histogram]
) -> Iterable[str]:
    yield f"# TYPE {name} histogram"
    for labels, histogram in histograms.items():
        below = 0  # Prometheus' buckets hold all smaller values too.
        for limit, count in zip([*_LIMITS, None], histogram.buckets, strict=True):
            below += count
            bound = "+Inf" if limit is None else f"{limit:.6g}"
            yield f"{name}_bucket{_labels((*label_names, 'le'), (*labels, bound))} {below}"
        yield f"{name}_sum{_labels(label_names, labels)} {histogram.sum:.6g}"
        yield f"{name}_count{_labels(label_names, labels)} {below}"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
