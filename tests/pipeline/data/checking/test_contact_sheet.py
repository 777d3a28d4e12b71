from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pipeline.data.checking.contact_sheet import BAND, contact_sheet, shown_classes
from pipeline.data.grids import GAP, GAP_VALUE
from pipeline.data.sources import open_source


def save(folder: Path, name: str, level: int, size: tuple[int, int] = (96, 96)) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size, (level, level, level)).save(folder / name)


def tiles(sheet: np.ndarray, rows: int, side: int = 96) -> np.ndarray:
    """The tiles of the first rows, (rows, columns, side, side, 3)."""
    step = side + GAP
    columns = (sheet.shape[1] + GAP) // step
    return np.stack(
        [
            np.stack(
                [sheet[step * r :, step * c :][:side, :side] for c in range(columns)],
            )
            for r in range(rows)
        ]
    )


def test_pictures_are_chosen_at_random_and_once(tmp_path: Path) -> None:
    for level in range(100):
        save(tmp_path, f"{level:03}.png", level)
    source = open_source(str(tmp_path))
    sheet = contact_sheet(source)
    assert sheet.shape == (4 * 98 - GAP, 16 * 98 - GAP, 3)
    levels = tiles(sheet, 4)[:, :, 48, 48, 0].ravel().tolist()
    assert len(set(levels)) == 64
    assert min(levels) < 10
    assert max(levels) > 90
    assert levels != sorted(levels)
    assert (contact_sheet(source) == sheet).all()
    assert (contact_sheet(source, seed=1) != sheet).any()


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path, f"{number:03}.png", 200)
    (tmp_path / "bad.png").write_text("no picture")
    sheet = contact_sheet(open_source(str(tmp_path)), {"bad.png", "003.png"})
    shown = tiles(sheet, 2)[:, :, 48, 48, 0]
    assert (shown == 200).sum() == 19
    assert (shown == GAP_VALUE).sum() == 13


def test_a_class_may_have_larger_pictures_than_the_random_ones(tmp_path: Path) -> None:
    for number in range(200):
        save(tmp_path, f"a/{number}.png", 10, (60, 60))
    save(tmp_path, "b/large.png", 90, (90, 90))
    # Of 201 pictures 64 are random; with some seed the large one is only in the row of its class.
    sheets = (contact_sheet(open_source(str(tmp_path)), seed=seed) for seed in range(9))
    sheet = next(each for each in sheets if not (each[: 4 * (90 + GAP)] == 90).any())
    assert (sheet == 90).all(-1).sum() == 90 * 90
    assert (sheet == 10).all(-1).sum() == (64 + 16) * 60 * 60


def test_each_class_has_a_row(tmp_path: Path) -> None:
    for number in range(30):
        save(tmp_path, f"a/{number}.png", 10)
    for number in range(3):
        save(tmp_path, f"b/{number}.png", 90)
    source = open_source(str(tmp_path))
    assert shown_classes(source) == ("a", "b")
    sheet = contact_sheet(source)
    # 33 at random take three rows.
    assert sheet.shape[0] == 3 * 98 - GAP + BAND + 2 * 98 - GAP
    rows = tiles(sheet[3 * 98 - GAP + BAND :], 2)[:, :, 48, 48, 0]
    assert rows[0].tolist() == [10] * 16
    assert rows[1].tolist() == [90] * 3 + [GAP_VALUE] * 13


def test_only_some_of_many_classes_are_shown(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path, f"class{number:02}/x.png", 9, (8, 8))
    assert len(shown_classes(open_source(str(tmp_path)))) == 12


@pytest.mark.parametrize(
    ("size", "side", "shown"),
    [((96, 96), 96, (96, 96)), ((8, 4), 96, (96, 48)), ((28, 28), 84, (84, 84)),
     ((400, 100), 96, (96, 24)), ((100, 400), 96, (24, 96)), ((70, 35), 70, (70, 35))],
)  # fmt: skip
def test_pictures_are_shown_whole(tmp_path: Path, size, side, shown) -> None:
    save(tmp_path, "x.png", 200, size)
    sheet = contact_sheet(open_source(str(tmp_path)))
    assert sheet.shape == (side, side, 3)
    rows, columns = np.nonzero(sheet[..., 0] == 200)
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == shown
    assert abs((columns.min() + columns.max() + 1) - side) <= 1
    assert abs((rows.min() + rows.max() + 1) - side) <= 1
