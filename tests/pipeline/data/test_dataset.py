import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies

from pipeline.config import DataConfig
from pipeline.data import dataset
from pipeline.data.dataset import dataset_for, images_of
from pipeline.data.prepare import records_for
from pipeline.data.records import RecordSet
from pipeline.data.service import serving
from pipeline.schedule import Phase

COUNT = 10
PHASE = Phase(resolution=4, fading=False, images=100, batch_size=4, learning_rate=0.001)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    """Make ten pictures in two classes; number n is n in its left half and 100 + n in its right."""
    folder = tmp_path_factory.mktemp("numbered")
    for number in range(COUNT):
        values = np.full((8, 8), number, np.uint8)
        values[:, 4:] += 100
        file = folder / "source" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(values).save(file)
    data = DataConfig(source=str(folder / "source"), channels=1, records=folder / "records")
    return records_for(data, (4, 8))


@pytest.fixture(params=["one window", "windows of 4"])
def window(request, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "windows of 4":
        monkeypatch.setattr(dataset, "MAX_WINDOW_RECORDS", 4)


def batches(records: RecordSet, count: int, phase: Phase = PHASE, **options: object) -> list:
    given = {"images_seen": 0, "seed": 0, "mirror": False, "labels": False} | options
    stream = dataset_for(records, phase, **given).as_numpy_iterator()
    return list(islice(stream, count))


def numbers(found: list) -> list[int]:
    """Which pictures these batches show."""
    images = np.concatenate([batch["images"] for batch in found])
    return [int(value) for value in images[:, 0, :, 0].min(axis=1)]


def equal(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        (a["images"] == b["images"]).all() and (a["labels"] == b["labels"]).all()
        for a, b in zip(one, other, strict=True)
    )


def test_element(records: RecordSet) -> None:
    stream = dataset_for(records, PHASE, images_seen=0, seed=0, mirror=False, labels=True)
    assert stream.element_spec == {
        "images": tf.TensorSpec((4, 4, 4, 1), tf.uint8),
        "labels": tf.TensorSpec((4, 2), tf.float32),
    }
    assert batches(records, 1)[0]["labels"].shape == (4, 0)


def test_no_iterator_waits_for_a_thread_that_tunes_it(records: RecordSet) -> None:
    stream = dataset_for(records, PHASE, images_seen=0, seed=0, mirror=False, labels=False)
    for each in (stream, images_of(records, 4)):
        assert each.options().autotune.enabled is False
    assert stream.options().deterministic


@pytest.mark.usefixtures("window")
def test_each_epoch_shows_each_picture_once_in_another_order(records: RecordSet) -> None:
    shown = np.reshape(numbers(batches(records, 10)), (4, COUNT))
    assert (np.sort(shown) == np.arange(COUNT)).all()
    assert len({tuple(epoch) for epoch in shown}) == 4


@pytest.mark.usefixtures("window")
def test_resumed_stream_is_the_uninterrupted_one(records: RecordSet) -> None:
    whole = batches(records, 12, mirror=True, labels=True)
    for seen in (1, 3, 5, 9):  # batches; an epoch is two and a half
        resumed = batches(records, 12 - seen, images_seen=4 * seen, mirror=True, labels=True)
        assert equal(resumed, whole[seen:])


def test_position_need_not_be_a_multiple_of_the_batch(records: RecordSet) -> None:
    whole = numbers(batches(records, 10))
    assert numbers(batches(records, 5, images_seen=7)) == whole[7:27]


@pytest.mark.usefixtures("window")
def test_order_is_the_same_at_every_resolution_and_batch_size(records: RecordSet) -> None:
    larger = Phase(resolution=8, fading=True, images=100, batch_size=5, learning_rate=0.001)
    assert numbers(batches(records, 8, larger)) == numbers(batches(records, 10))


def test_order_depends_on_the_seed_alone(records: RecordSet) -> None:
    first = batches(records, 6, seed=1, mirror=True)
    tf.random.set_seed(99)
    assert equal(batches(records, 6, seed=1, mirror=True), first)
    assert not equal(batches(records, 6, seed=2, mirror=True), first)


@pytest.mark.parametrize(
    ("window", "images_seen"), [("one window", 0), ("windows of 4", 12)], indirect=["window"]
)
def test_workers_share_the_stream(records: RecordSet, window: None, images_seen: int) -> None:
    options = {"images_seen": images_seen, "mirror": True, "labels": True}
    shares = [batches(records, 7, **options, worker=worker, workers=2) for worker in range(2)]
    whole = batches(records, 7, **options)
    for key in ("images", "labels"):
        for index, batch in enumerate(whole):
            assert (batch[key][0::2] == shares[0][index][key]).all()
            assert (batch[key][1::2] == shares[1][index][key]).all()


def test_labels_belong_to_their_pictures(records: RecordSet) -> None:
    found = batches(records, 5, labels=True)
    labels = np.concatenate([batch["labels"] for batch in found])
    assert (labels == np.eye(2)[np.array(numbers(found)) % 2]).all()


def test_mirror_flips_half_of_the_images(records: RecordSet) -> None:
    plain = np.concatenate([batch["images"] for batch in batches(records, 100)])
    mirrored = np.concatenate([batch["images"] for batch in batches(records, 100, mirror=True)])
    flipped = (mirrored == plain[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((mirrored == plain).all(axis=(1, 2, 3)) ^ flipped).all()
    assert 150 < flipped.sum() < 250
    # A picture is not always shown the same way.
    per_picture = flipped[np.argsort(numbers(batches(records, 100)), kind="stable")].reshape(10, 40)
    assert ((per_picture.sum(axis=1) > 8) & (per_picture.sum(axis=1) < 32)).all()


def test_batch_larger_than_the_set(records: RecordSet) -> None:
    phase = Phase(resolution=4, fading=False, images=100, batch_size=25, learning_rate=0.001)
    [batch] = batches(records, 1, phase)
    assert sorted(numbers([batch])[:20]) == sorted([*range(COUNT), *range(COUNT)])


def test_a_cache_changes_nothing(records: RecordSet, window: None) -> None:
    for seen in (0, 16):
        plain = batches(records, 12, mirror=True, images_seen=seen)
        assert equal(batches(records, 12, mirror=True, images_seen=seen, cache=True), plain)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[str]]:
    """Two dispatchers on loopback, each with a worker."""
    addresses = [f"localhost:{port}" for port in free_pairs_of_ports(2)]
    with serving(addresses[0]), serving(addresses[1]):
        yield addresses


def free_pairs_of_ports(count: int) -> list[int]:
    """Ports that are free, and the next one too."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("", 0))
            port = one.getsockname()[1]
            with suppress(OSError):
                other.bind(("", port + 1))
                if all(abs(port - taken) > 1 for taken in found):
                    found.append(port)
    return found


def test_servers_carry_labels_without_classes(records: RecordSet, servers: list[str]) -> None:
    """TensorFlow's own transfer crashes on some tensors without elements, as in a batch of 8."""
    phase = Phase(resolution=4, fading=False, images=100, batch_size=8, learning_rate=0.001)
    [batch] = batches(records, 1, phase, servers=servers)
    assert batch["labels"].shape == (8, 0)


@pytest.mark.parametrize(  # Every pair of two settings.
    ("window", "seen", "many"),
    [
        ("one window", 0, 1),
        ("one window", 4, 2),
        ("one window", 36, 2),
        ("windows of 4", 0, 2),
        ("windows of 4", 4, 1),
        ("windows of 4", 36, 1),
    ],
    indirect=["window"],
)
def test_servers_give_the_same_stream(
    records: RecordSet, window: None, servers: list[str], seen: int, many: int
) -> None:
    options = {"mirror": True, "images_seen": seen, "labels": True}
    served = batches(records, 31, servers=servers[:many], **options)
    assert equal(served, batches(records, 31, **options))


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    seen=strategies.integers(0, 15),
    window=strategies.sampled_from([3, 4, 100]),
    workers=strategies.sampled_from([1, 2, 4]),
    many=strategies.integers(0, 2),
    cache=strategies.booleans(),
)
def test_every_way_to_read_gives_the_same_stream(
    records: RecordSet,
    servers: list[str],
    seen: int,
    window: int,
    workers: int,
    many: int,
    cache: bool,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "MAX_WINDOW_RECORDS", window)
        whole = batches(records, 20, mirror=True, labels=True)[seen:]
        options = {"images_seen": 4 * seen, "mirror": True, "labels": True, "cache": cache}
        options |= {"servers": servers[:many], "workers": workers}
        shares = [batches(records, len(whole), **options, worker=k) for k in range(workers)]
    for share, worker in zip(shares, range(workers), strict=True):
        assert equal(share, [{key: each[key][worker::workers] for key in each} for each in whole])


@pytest.mark.parametrize(("worker", "workers"), [(0, 3), (2, 2), (-1, 2)])
def test_workers_must_divide_the_batch(records: RecordSet, worker: int, workers: int) -> None:
    with pytest.raises(ValueError, match="`workers` must divide"):
        batches(records, 1, worker=worker, workers=workers)


def test_resolution_must_be_prepared(records: RecordSet) -> None:
    phase = Phase(resolution=16, fading=False, images=100, batch_size=4, learning_rate=0.001)
    with pytest.raises(ValueError, match="must be one of"):
        batches(records, 1, phase)


def test_real_colour_images(shared_folder: Path, tmp_path: Path) -> None:
    source = shared_folder / "data" / "flowers256_500.zip"
    records = records_for(DataConfig(source=str(source), records=tmp_path), (4, 32))
    [large] = batches(records, 1, Phase(32, False, 1, 16, 0.001), labels=True)
    [small] = batches(records, 1, Phase(4, False, 1, 16, 0.001), labels=True)
    assert (large["labels"] == small["labels"]).all()
    means = large["images"].reshape(16, 4, 8, 4, 8, 3).mean(axis=(2, 4))
    assert (small["images"] == np.rint(means)).all()


def test_images_of_gives_mirrored_copies_or_leaves_them_out(tmp_path: Path) -> None:
    data = DataConfig(source="digits", channels=1, max_images=40, records=tmp_path)
    plain = records_for(data, (8,))
    doubled = records_for(data.model_copy(update={"mirrored_copies": True}), (8,))

    def content(records: RecordSet, *, copies: bool) -> list[tuple[bytes, int]]:
        found = images_of(records, 8, copies=copies).as_numpy_iterator()
        return [(sample["image"].tobytes(), int(sample["label"])) for sample in found]

    everything = content(doubled, copies=True)
    assert len(everything) == 80
    assert everything[::2] == content(doubled, copies=False) == content(plain, copies=True)
    assert content(plain, copies=False) == content(plain, copies=True)
