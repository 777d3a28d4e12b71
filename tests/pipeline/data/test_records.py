import json
import os
import resource
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from pipeline.config import DataConfig
from pipeline.data.pictures import reduced, to_square
from pipeline.data.records import open_records, prepare
from pipeline.data.sources import open_source
from pipeline.errors import UserError


def config(source: Path | str, records: Path, **options: object) -> DataConfig:
    return DataConfig(source=str(source), records=records, **options)


def refusal(data: DataConfig, resolutions: tuple[int, ...] = (8,)) -> str:
    with pytest.raises(UserError) as caught:
        prepare(data, resolutions)
    assert "\n" not in str(caught.value)
    assert "Received: " in str(caught.value)
    return str(caught.value)


def stored(file: Path) -> dict[int, tuple[np.ndarray, int]]:
    """The image and label of each index."""
    found = {}
    for serialized in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        feature = tf.train.Example.FromString(serialized).features.feature
        image = tf.io.decode_png(feature["image"].bytes_list.value[0]).numpy()
        [index] = feature["index"].int64_list.value
        found[index] = (image, feature["label"].int64_list.value[0])
    return found


@pytest.fixture
def spoilt_folder(labelled_folder: Path) -> Path:
    """Make three files that are pictures in name only: cut off, text, and empty."""
    whole = (labelled_folder / "dog/b.png").read_bytes()
    (labelled_folder / "dog/cut.png").write_bytes(whole[: len(whole) // 2])
    (labelled_folder / "dog/text.png").write_text("no picture")
    (labelled_folder / "cat/empty.jpg").touch()
    return labelled_folder


@pytest.mark.parametrize(("channels", "fit"), [(3, "crop"), (1, "pad")])
def test_every_resolution_holds_every_picture(labelled_folder, tmp_path, channels, fit) -> None:
    reports: list[tuple[int, int]] = []
    data = config(labelled_folder, tmp_path / "records", channels=channels, fit=fit)
    records = prepare(data, (16, 4, 8), report=lambda done, total: reports.append((done, total)))
    assert (records.count, records.classes, records.channels) == (5, ("cat", "dog"), channels)
    assert records.resolutions == (4, 8, 16)
    assert reports == [(done, 5) for done in range(1, 6)]
    for resolution in records.resolutions:
        found = stored(records.file(resolution))
        assert sorted(found) == [0, 1, 2, 3, 4]
        for index, picture in enumerate(open_source(str(labelled_folder))):
            largest = to_square(picture.read(), resolution=16, channels=channels, fit=fit)
            image, label = found[index]
            assert label == picture.label
            assert (image == reduced(largest, resolution)).all()
    # All files are in the same order, which is not that of the source.
    orders = [list(stored(records.file(resolution))) for resolution in records.resolutions]
    assert orders[0] == orders[1] == orders[2] != sorted(orders[0])


def test_prepared_once(labelled_folder: Path, tmp_path: Path, monkeypatch) -> None:
    data = config(labelled_folder, tmp_path / "records")
    first = prepare(data, (4, 8))
    stamp = first.file(8).stat().st_mtime_ns
    monkeypatch.setattr("pipeline.data.records.to_square", None)
    assert prepare(data, (8, 4, 4)) == first == open_records(first.folder)
    assert first.file(8).stat().st_mtime_ns == stamp
    assert [path.name for path in (tmp_path / "records").iterdir()] == [first.folder.name]
    assert first.folder.name.startswith("pets-8px-")


def test_key_follows_content_and_preparation(labelled_folder: Path, tmp_path: Path) -> None:
    data = config(labelled_folder, tmp_path / "records")
    sets = [
        prepare(data, (4,)),
        prepare(data, (4, 8)),
        prepare(data.model_copy(update={"channels": 1}), (4,)),
        prepare(data.model_copy(update={"fit": "pad"}), (4,)),
    ]
    assert len({records.data_hash for records in sets}) == 1
    (labelled_folder / "cat/x.gif").rename(labelled_folder / "dog/x.gif")
    sets.append(prepare(data, (4,)))
    (labelled_folder / "cat").rename(labelled_folder / "bat")
    sets.append(prepare(data, (4,)))
    (labelled_folder / "bat/y.bmp").write_bytes((labelled_folder / "dog/b.png").read_bytes())
    sets.append(prepare(data, (4,)))
    assert len({records.folder for records in sets}) == len(sets)
    assert len({records.data_hash for records in sets}) == 4


def test_a_zip_has_the_hash_of_its_folder(labelled_folder: Path, tmp_path: Path) -> None:
    path = shutil.make_archive(str(tmp_path / "pets"), "zip", labelled_folder)
    of_folder = prepare(config(labelled_folder, tmp_path / "records"), (4,))
    assert prepare(config(path, tmp_path / "records"), (4,)) == of_folder


def test_manifest_states_the_preparation(labelled_folder: Path, tmp_path: Path) -> None:
    records = prepare(config(labelled_folder, tmp_path, channels=1), (4,))
    manifest = json.loads((records.folder / "manifest.json").read_text())
    size = records.file(4).stat().st_size
    assert manifest == {
        "format_version": 1,
        "source": "pets",
        "data_hash": records.data_hash,
        "count": 5,
        "classes": ["cat", "dog"],
        "resolutions": [4],
        "channels": 1,
        "fit": "crop",
        "skipped": [],
        "file_sizes": {"4": size},
    }


def test_unlabelled_pictures_have_label_minus_one(labelled_folder: Path, tmp_path: Path) -> None:
    data = config(labelled_folder / "dog", tmp_path / "records")
    records = prepare(data, (4,))
    assert records.classes == ()
    assert {label for _, label in stored(records.file(4)).values()} == {-1}
    assert "`data.labels`" in refusal(data.model_copy(update={"labels": True}))


def test_corrupt_files_are_all_named(spoilt_folder: Path, tmp_path: Path) -> None:
    message = refusal(config(spoilt_folder, tmp_path / "records"))
    assert "3 of 8 corrupt: cat/empty.jpg (" in message
    assert "dog/cut.png (" in message
    assert "dog/text.png (cannot identify image file)" in message
    assert "`skip`" in message
    assert list((tmp_path / "records").iterdir()) == []


def test_many_corrupt_files_are_counted(spoilt_folder: Path, tmp_path: Path) -> None:
    for number in range(9):
        (spoilt_folder / f"cat/{number}.png").touch()
    assert message_tail(refusal(config(spoilt_folder, tmp_path / "records"))) == "and 7 more"


def message_tail(message: str) -> str:
    return message.rpartition("; ")[2]


def test_corrupt_files_are_skipped_on_request(spoilt_folder: Path, tmp_path: Path) -> None:
    data = config(spoilt_folder, tmp_path / "records", on_corrupt="skip")
    records = prepare(data, (4,))
    assert records.count == 5
    assert sorted(stored(records.file(4))) == [1, 2, 3, 4, 5]
    assert [name for name, _ in records.skipped] == ["cat/empty.jpg", "dog/cut.png", "dog/text.png"]
    assert all(reason for _, reason in records.skipped)
    assert open_records(records.folder) == records
    # A set with gaps is none for who does not allow gaps.
    assert "3 of 8 corrupt" in refusal(data.model_copy(update={"on_corrupt": "fail"}), (4,))


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/text.png").write_text("no picture")
    message = refusal(config(tmp_path / "pets", tmp_path / "records", on_corrupt="skip"))
    assert "1 of 1 corrupt" in message
    assert "`skip`" not in message


def test_damaged_entry_of_a_zip_is_skipped(labelled_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("dog/a.JPG", "dog/b.png"):
            file.write(labelled_folder / name, name)
    png = (labelled_folder / "dog/b.png").read_bytes()
    path.write_bytes(path.read_bytes().replace(png, png[:-1] + b"?"))
    records = prepare(config(path, tmp_path / "records", on_corrupt="skip"), (4,))
    assert records.count == 1
    assert "CRC" in records.skipped[0].reason


@pytest.mark.parametrize("limit", [80, 30])  # Pillow warns above its limit, raises above twice
def test_decompression_bomb_is_corrupt(labelled_folder, tmp_path, monkeypatch, limit) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        message = refusal(config(labelled_folder, tmp_path / "records"))
    assert "5 of 5 corrupt" in message
    assert "decompression bomb" in message


def test_source_that_is_missing(tmp_path: Path) -> None:
    assert "`data.source`" in refusal(config(tmp_path / "none", tmp_path))
    assert "`data.source`" in refusal(DataConfig(records=tmp_path))


@pytest.mark.parametrize("resolutions", [(), (2,), (48,), (4, 2048), (0,), (-4,)])
def test_resolutions_are_powers_of_two(tmp_path: Path, resolutions) -> None:
    with pytest.raises(ValueError, match="`resolutions` must be some of"):
        prepare(config("digits", tmp_path), resolutions)


def test_damaged_set_is_refused(labelled_folder: Path, tmp_path: Path) -> None:
    data = config(labelled_folder, tmp_path / "records")
    records = prepare(data, (4,))
    with pytest.raises(ValueError, match="one of"):
        records.file(8)
    file, manifest = records.file(4), records.folder / "manifest.json"
    file.write_bytes(file.read_bytes()[:-1])
    assert "`4x4.tfrecords` whole" in refusal(data, (4,))
    file.unlink()
    assert "`4x4.tfrecords` whole" in refusal(data, (4,))
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 2'))
    assert "format 1" in refusal(data, (4,))
    manifest.unlink()
    assert str(records.folder) in refusal(data, (4,))


def test_records_that_cannot_be_written(labelled_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "`data.records`" in refusal(config(labelled_folder, tmp_path / "file" / "records"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_records_without_permission(labelled_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "Permission denied" in refusal(config(labelled_folder, tmp_path / "locked"))


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        message = refusal(config("digits", tmp_path / "records"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in message
    assert list((tmp_path / "records").iterdir()) == []


def test_another_process_may_be_first(labelled_folder: Path, tmp_path: Path) -> None:
    data = config(labelled_folder, tmp_path / "records")
    inner = []

    def prepare_meanwhile(done: int, total: int) -> None:
        if done == total:
            inner.append(prepare(data, (4,)))

    assert [prepare(data, (4,), report=prepare_meanwhile)] == inner
    assert len(list((tmp_path / "records").iterdir())) == 1
