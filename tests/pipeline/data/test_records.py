import hashlib
import json
import os
import resource
import shutil
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from pipeline.config import DataConfig
from pipeline.data.conversion import reduced, to_pixels
from pipeline.data.dataset import decode_images
from pipeline.data.prepare import prepare, records_for
from pipeline.data.records import MANIFEST, RecordSet, open_records, verify
from pipeline.data.sources import open_source
from pipeline.errors import UserError


def config(source: Path | str, records: Path, **options: object) -> DataConfig:
    return DataConfig(source=str(source), records=records, **options)


def refusal(data: DataConfig, resolutions: tuple[int, ...] = (8,)) -> str:
    with pytest.raises(UserError) as caught:
        records_for(data, resolutions)
    assert "\n" not in str(caught.value)
    assert "Received: " in str(caught.value)
    return str(caught.value)


def stored(records: RecordSet, resolution: int, split: str = "train") -> dict:
    """The image and label of each picture's number, or of (number, "mirrored")."""
    found = {}
    files = [str(file) for file in records.files(resolution, split)]
    for serialized in tf.data.TFRecordDataset(files).as_numpy_iterator():
        feature = tf.train.Example.FromString(serialized).features.feature
        encoded = tf.constant(feature["image"].bytes_list.value)
        [image] = decode_images(encoded, records, resolution).numpy()
        [index] = feature["index"].int64_list.value
        key = (index, "mirrored") if feature["mirrored"].int64_list.value[0] else index
        found[key] = (image, feature["label"].int64_list.value[0])
    return found


@pytest.fixture
def spoilt_folder(labelled_folder: Path) -> Path:
    """Make three files that are pictures in name only: cut off, text, and empty."""
    whole = (labelled_folder / "dog/b.png").read_bytes()
    (labelled_folder / "dog/cut.png").write_bytes(whole[: len(whole) // 2])
    (labelled_folder / "dog/text.png").write_text("no picture")
    (labelled_folder / "cat/empty.jpg").touch()
    return labelled_folder


@pytest.mark.parametrize(("channels", "crop"), [(3, "center"), (1, "pad")])
def test_every_resolution_holds_every_picture(labelled_folder, tmp_path, channels, crop) -> None:
    reports: list[tuple[int, int]] = []
    data = config(labelled_folder, tmp_path / "records", channels=channels, crop=crop)
    records = records_for(
        data, (16, 4, 8), report=lambda done, total: reports.append((done, total))
    )
    assert (records.count, records.classes, records.channels) == (5, ("cat", "dog"), channels)
    assert records.resolutions == (4, 8, 16)
    assert reports == [(done, 5) for done in range(1, 6)]
    for resolution in records.resolutions:
        found = stored(records, resolution)
        assert sorted(found) == [0, 1, 2, 3, 4]
        for index, picture in enumerate(open_source(str(labelled_folder))):
            largest = to_pixels(picture.read(), data, (16, 16))
            image, label = found[index]
            assert label == picture.label
            assert (image == reduced(largest, (resolution, resolution))).all()
    # All files are in the same order, which is not that of the source.
    orders = [list(stored(records, resolution)) for resolution in records.resolutions]
    assert orders[0] == orders[1] == orders[2] != sorted(orders[0])


def test_prepared_once(labelled_folder: Path, tmp_path: Path, monkeypatch) -> None:
    data = config(labelled_folder, tmp_path / "records")
    first = records_for(data, (4, 8))
    stamp = first.files(8)[0].stat().st_mtime_ns
    monkeypatch.setattr("pipeline.data.conversion.to_pixels", None)
    assert records_for(data, (8, 4, 4)) == first == open_records(first.folder)
    assert first.files(8)[0].stat().st_mtime_ns == stamp
    assert [path.name for path in (tmp_path / "records").iterdir()] == [first.folder.name]
    assert first.folder.name.startswith("pets-8px-")


def test_key_follows_content_and_preparation(labelled_folder: Path, tmp_path: Path) -> None:
    data = config(labelled_folder, tmp_path / "records")
    sets = [
        records_for(data, (4,)),
        records_for(data, (4, 8)),
        records_for(data.model_copy(update={"channels": 1}), (4,)),
        records_for(data.model_copy(update={"crop": "pad"}), (4,)),
    ]
    assert len({records.source_hash for records in sets}) == 1
    (labelled_folder / "cat/x.gif").rename(labelled_folder / "dog/x.gif")
    sets.append(records_for(data, (4,)))
    (labelled_folder / "cat").rename(labelled_folder / "bat")
    sets.append(records_for(data, (4,)))
    (labelled_folder / "bat/y.bmp").write_bytes((labelled_folder / "dog/b.png").read_bytes())
    sets.append(records_for(data, (4,)))
    assert len({records.folder for records in sets}) == len(sets)
    assert len({records.source_hash for records in sets}) == 4
    assert len({records.data_hash for records in sets}) == len(sets)


def test_a_zip_has_the_hash_of_its_folder(labelled_folder: Path, tmp_path: Path) -> None:
    path = shutil.make_archive(str(tmp_path / "pets"), "zip", labelled_folder)
    of_folder = records_for(config(labelled_folder, tmp_path / "records"), (4,))
    assert records_for(config(path, tmp_path / "records"), (4,)) == of_folder


def test_rectangles_have_one_size_and_squares_their_former_identity(tmp_path: Path) -> None:
    data = config("digits", tmp_path / "records", channels=1, max_images=20)
    wide = records_for(data, (8,), width=12)
    assert wide.folder.name.startswith("digits-8x12px-")
    assert (wide.resolutions, wide.width, wide.shape(8)) == ((8,), 12, (8, 12))
    assert {image.shape for image, _ in stored(wide, 8).values()} == {(8, 12, 1)}
    assert records_for(data, (8,), width=12) == wide
    assert records_for(data.model_copy(update={"source": str(wide.folder)}), (8,), width=12) == wide
    message = refusal(data.model_copy(update={"source": str(wide.folder)}))
    assert "8 and 1. Received: " in message
    assert message.endswith("with 8x12 and 1")
    square = records_for(data, (8,))
    assert square.folder.name == "digits-8px-e44aca22426f"
    with pytest.raises(ValueError, match="width=12"):
        records_for(data, (8, 16), width=12)


def test_manifest_states_the_preparation(labelled_folder: Path, tmp_path: Path) -> None:
    records = records_for(config(labelled_folder, tmp_path, channels=1), (4,))
    manifest = json.loads((records.folder / MANIFEST).read_text())
    file = records.folder / "4x4/train-00000-of-00001.tfrecords"
    assert len(manifest.pop("source_hash")) == 64
    assert manifest == {
        "format_version": 2,
        "data_hash": records.data_hash,
        "source": "pets",
        "classes": ["cat", "dog"],
        "resolutions": [4],
        "width": None,
        "channels": 1,
        "preparation": {
            "crop": "center",
            "filter": "lanczos",
            "classes": None,
            "max_images": None,
            "val": 0.0,
            "mirrored_copies": False,
        },
        "format": "png",
        "skipped": [],
        "left_out": {".txt": 1},
        "shards": {
            "train": {
                "4": [
                    {
                        "name": "4x4/train-00000-of-00001.tfrecords",
                        "records": 5,
                        "bytes": file.stat().st_size,
                        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                    }
                ]
            }
        },
    }


def test_unlabelled_pictures_have_label_minus_one(labelled_folder: Path, tmp_path: Path) -> None:
    data = config(labelled_folder / "dog", tmp_path / "records")
    records = records_for(data, (4,))
    assert records.classes == ()
    assert {label for _, label in stored(records, 4).values()} == {-1}
    assert "`data.labels`" in refusal(data.model_copy(update={"labels": True}))


def test_corrupt_files_are_all_named(spoilt_folder: Path, tmp_path: Path) -> None:
    message = refusal(config(spoilt_folder, tmp_path / "records"))
    assert "3 of 8 unusable: cat/empty.jpg (" in message
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
    records = records_for(data, (4,))
    assert records.count == 5
    assert sorted(stored(records, 4)) == [1, 2, 3, 4, 5]
    assert [name for name, _ in records.skipped] == ["cat/empty.jpg", "dog/cut.png", "dog/text.png"]
    assert all(reason for _, reason in records.skipped)
    assert open_records(records.folder) == records
    # A set with gaps is none for who does not allow gaps.
    for mirrored in (False, True):
        copied = data.model_copy(update={"mirrored_copies": mirrored})
        records_for(copied, (4,))
        assert "3 of 8 unusable" in refusal(copied.model_copy(update={"on_corrupt": "fail"}), (4,))


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/text.png").write_text("no picture")
    message = refusal(config(tmp_path / "pets", tmp_path / "records", on_corrupt="skip"))
    assert "1 of 1 unusable" in message
    assert "`skip`" not in message


def test_damaged_entry_of_a_zip_is_skipped(labelled_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("dog/a.JPG", "dog/b.png"):
            file.write(labelled_folder / name, name)
    png = (labelled_folder / "dog/b.png").read_bytes()
    path.write_bytes(path.read_bytes().replace(png, png[:-1] + b"?"))
    records = records_for(config(path, tmp_path / "records", on_corrupt="skip"), (4,))
    assert records.count == 1
    assert "CRC" in records.skipped[0].reason


def test_decompression_bomb_is_corrupt(labelled_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 30)
    message = refusal(config(labelled_folder, tmp_path / "records"))
    assert "5 of 5 unusable" in message
    assert "(it has more than 60 pixels: store it smaller)" in message


def test_source_that_is_missing(tmp_path: Path) -> None:
    assert "`data.source`" in refusal(config(tmp_path / "none", tmp_path))
    assert "`data.source`" in refusal(DataConfig(records=tmp_path))


@pytest.mark.parametrize("resolutions", [(), (2,), (46,), (24, 48), (4, 2048), (0,), (-4,)])
def test_resolutions_are_powers_of_two_or_a_single_one(tmp_path: Path, resolutions) -> None:
    with pytest.raises(ValueError, match="`resolutions` must be powers of two"):
        records_for(config("digits", tmp_path), resolutions)


def test_damaged_set_is_refused(labelled_folder: Path, tmp_path: Path) -> None:
    data = config(labelled_folder, tmp_path / "records")
    records = records_for(data, (4,))
    with pytest.raises(ValueError, match="one of"):
        records.files(8)
    with pytest.raises(ValueError, match="one of train"):
        records.files(4, "val")
    verify(records)
    [file], manifest = records.files(4), records.folder / MANIFEST
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"1 of 1 damaged: 4x4/train-00000-of-00001.tfrecords"):
        verify(open_records(records.folder))
    file.write_bytes(content[:-1])
    assert f"`{file.parent.name}/{file.name}` whole" in refusal(data, (4,))
    file.unlink()
    assert str(records.folder) in refusal(data, (4,))
    file.write_bytes(content)
    manifest.write_text(manifest.read_text().replace('"format_version": 2', '"format_version": 1'))
    assert "format 2" in refusal(data, (4,))
    manifest.unlink()
    assert str(records.folder) in refusal(data, (4,))


def test_records_that_cannot_be_written(labelled_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "can be written" in refusal(config(labelled_folder, tmp_path / "file" / "records"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_records_without_permission(labelled_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "Permission denied" in refusal(config(labelled_folder, tmp_path / "locked"))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.data.shards.MAX_PICTURES", 600)
    data = config("digits", tmp_path / "records", channels=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        message = refusal(data, (4, 16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in message
    [partial] = (tmp_path / "records").iterdir()
    assert partial.name.endswith(".partial")
    assert records_for(data, (4, 16)).count == 1797
    assert len(list((tmp_path / "records").iterdir())) == 1


def test_processes_take_turns_and_the_second_finds_the_set(labelled_folder, tmp_path) -> None:
    data = config(labelled_folder, tmp_path / "records")
    with ThreadPoolExecutor(4) as pool:
        sets = list(pool.map(lambda _: records_for(data, (4,)), range(4)))
    assert sets == [sets[0]] * 4
    assert len(list((tmp_path / "records").iterdir())) == 1


@pytest.mark.usefixtures("forked")
def test_workers_and_interruptions_change_no_byte(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.data.shards.MAX_PICTURES", 300)
    monkeypatch.setattr("pipeline.data.workers.WORTH_SHARING", -1)
    options = {"channels": 1, "val": 0.1, "mirrored_copies": True, "max_images": 1000}
    folders = []
    for workers in (2, 1):
        data = config("digits", tmp_path, workers=workers, **options)
        folders.append(tmp_path / f"with-{workers}")
        prepare(data, (4, 8), folders[-1])

    class Killed(BaseException):
        pass

    def interrupt(done: int, total: int) -> None:
        if done in stops:
            stops.remove(done)
            raise Killed

    folders.append(tmp_path / "interrupted")
    stops = [310, 311, 299, 700]
    reported: list[int] = []
    for _ in range(4):
        with pytest.raises(Killed):
            prepare(data, (4, 8), folders[-1], interrupt)
        assert not folders[-1].exists()
    prepare(data, (4, 8), folders[-1], lambda done, _: reported.append(done))
    assert reported[0] == 601  # What two shards of 300 hold was not done again.
    contents = [
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.*")}
        for folder in folders
    ]
    assert len(contents[0]) == 1 + 2 * (3 + 1)
    assert all(content == contents[0] for content in contents)
    assert {path.name for path in tmp_path.iterdir()} == {folder.name for folder in folders}


def test_little_work_starts_no_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.data.workers.call_in_workers", None)
    data = config("digits", tmp_path, channels=1, workers=2, max_images=100)
    assert prepare(data, (4,), tmp_path / "set").count == 100


def test_splits_share_no_picture_and_hold_all(tmp_path: Path) -> None:
    data = config("digits", tmp_path, channels=1, val=0.25, mirrored_copies=True, max_images=100)
    records = prepare(data, (4, 8), tmp_path / "set")
    train, val = stored(records, 8), stored(records, 8, "val")
    originals = {key for key in train if isinstance(key, int)}
    assert (len(originals), len(val), records.count, records.size("val")) == (75, 25, 150, 25)
    assert not originals & set(val)
    for index in originals:
        (image, label), (mirrored, same) = train[index], train[index, "mirrored"]
        assert label == same
        assert (mirrored == image[:, ::-1]).all()


def test_some_classes_are_taken_and_renumbered(tmp_path: Path) -> None:
    data = config("digits", tmp_path, channels=1, classes=("7", "3"))
    records = prepare(data, (4,), tmp_path / "set")
    assert records.classes == ("3", "7")
    labels = [picture.label for picture in open_source("digits")]
    assert {index: label for index, (_, label) in stored(records, 4).items()} == {
        index: int(label == 7) for index, label in enumerate(labels) if label in (3, 7)
    }
    assert "Received: 12" in refusal(data.model_copy(update={"classes": ("3", "12")}))


def test_classes_are_chosen_in_either_form_of_an_accent(labelled_folder, tmp_path) -> None:
    (labelled_folder / "cat").rename(labelled_folder / unicodedata.normalize("NFD", "café"))
    data = config(labelled_folder, tmp_path, channels=3, classes=("café",))
    records = prepare(data, (4,), tmp_path / "set")
    assert [unicodedata.normalize("NFC", name) for name in records.classes] == ["café"]


@pytest.mark.parametrize(("format", "error"), [("png", 0), ("raw", 0), ("jpeg", 24)])
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_hold_the_pixels(labelled_folder, tmp_path, format, error, channels) -> None:
    smooth = np.add.outer(np.arange(12), np.arange(12)).astype(np.uint8) * 10
    PIL.Image.fromarray(smooth).save(labelled_folder / "cat/x.gif")
    data = config(labelled_folder, tmp_path / "records", format=format, channels=channels)
    found = stored(records_for(data, (4, 16)), 16)
    for index, picture in enumerate(open_source(str(labelled_folder))):
        difference = found[index][0].astype(int) - to_pixels(picture.read(), data, (16, 16))
        if not error or "x.gif" in picture.name:
            assert abs(difference).max() <= error


def test_a_prepared_set_is_a_source(labelled_folder: Path, tmp_path: Path) -> None:
    records = prepare(config(labelled_folder, tmp_path), (4, 8, 16), tmp_path / "set")
    assert records_for(config(tmp_path / "set", tmp_path, labels=True), (4, 8)) == records
    assert "4, 32 and 3. Received: " in refusal(config(tmp_path / "set", tmp_path), (4, 32))
    assert "with 4, 8, 16 and 3" in refusal(config(tmp_path / "set", tmp_path, channels=1), (4, 8))


def test_another_set_or_folder_is_not_overwritten(labelled_folder: Path, tmp_path: Path) -> None:
    data = config(labelled_folder, tmp_path)
    (tmp_path / "empty").mkdir()
    first = prepare(data, (4,), tmp_path / "empty")
    assert prepare(data, (4,), tmp_path / "empty") == first
    with pytest.raises(UserError, match="holds others"):
        prepare(data, (4, 8), tmp_path / "empty")
    with pytest.raises(UserError, match="something else"):
        prepare(data, (4,), labelled_folder)


def test_smaller_sizes_are_those_of_the_official_tool(shared_folder: Path, tmp_path: Path) -> None:
    source = shared_folder / "golden/tfrecords_eurosat32"
    data = config(source, tmp_path, crop="none", workers=1)
    records = records_for(data, (4, 8, 16, 32))
    assert records.classes
    for resolution in records.resolutions:
        file = source / f"{source.name}-r{resolution.bit_length() - 1:02d}.tfrecords"
        ours = stored(records, resolution)
        assert len(ours) == 200
        for index, serialized in enumerate(tf.data.TFRecordDataset(str(file)).as_numpy_iterator()):
            feature = tf.train.Example.FromString(serialized).features.feature
            shape = feature["shape"].int64_list.value
            pixels = np.frombuffer(feature["data"].bytes_list.value[0], np.uint8).reshape(shape)
            np.testing.assert_array_equal(ours[index][0], pixels.transpose(1, 2, 0))
