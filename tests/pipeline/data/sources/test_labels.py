"""Labels beside pictures: the three files that give them, in folders and in zips alike."""

import json
from pathlib import Path

import pytest

from pipeline.data.sources import Source, open_source
from pipeline.data.sources.labels import class_names
from pipeline.errors import UserError


@pytest.fixture
def pictures(tmp_path: Path, draw) -> Path:
    """Make `a.png`, `sub/b.png` and `sub/c.png`."""
    folder = tmp_path / "set"
    (folder / "sub").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "sub/b.png", "sub/c.png"]):
        draw(seed=seed).save(folder / name)
    return folder


def named(source: Source) -> dict[str, str | None]:
    return {
        picture.name: None if picture.label is None else source.classes[picture.label]
        for picture in source
    }


LABELS = {"sub/c.png": "cat", "a.png": "dog", "sub/b.png": "cat"}
FORMS = {
    "labels.csv": 'file,label\nsub/c.png,cat\r\na.png,"dog"\n\n./sub/b.png,cat',
    "labels.json": json.dumps(LABELS),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_labels_file_names_each_picture(pictures: Path, form: str, mark: str, zipped) -> None:
    (pictures / form).write_text(mark + FORMS[form])
    for place in (pictures, zipped(pictures)):
        source = open_source(str(place))
        assert source.classes == ("cat", "dog")
        assert named(source) == LABELS
        assert list(named(source)) == sorted(LABELS)


def test_stylegan_labels_are_numbers_in_their_order(pictures: Path, zipped) -> None:
    labels = {"a.png": "10", "sub/b.png": "9", "sub/c.png": "10"}
    text = json.dumps({"labels": [[name, int(label)] for name, label in labels.items()]})
    (pictures / "dataset.json").write_text(text)
    for place in (pictures, zipped(pictures)):
        source = open_source(str(place))
        assert source.classes == ("9", "10")
        assert named(source) == labels


def test_stylegan_null_labels_are_none_whatever_the_folders(pictures: Path, zipped) -> None:
    (pictures / "a.png").rename(pictures / "sub" / "a.png")
    (pictures / "sub" / "b.png").rename(pictures / "b.png")
    with pytest.raises(UserError, match="1 outside class folders"):
        open_source(str(pictures))
    (pictures / "dataset.json").write_text('{"labels": null}')
    for place in (pictures, zipped(pictures)):
        source = open_source(str(place))
        assert (source.classes, set(named(source).values())) == ((), {None})


@pytest.mark.parametrize("text", ["{}", '{"name": "pets"}', "[]", '[{"labels": 1}]'])
def test_other_dataset_json_is_no_labels_file(pictures: Path, text: str) -> None:
    (pictures / "a.png").unlink()
    (pictures / "dataset.json").write_text(text)
    assert open_source(str(pictures)).classes == ()


def test_labels_may_lie_beside_the_pictures_in_a_folder_that_wraps_them(
    pictures: Path, zipped
) -> None:
    (pictures / "labels.csv").write_text(FORMS["labels.csv"])
    source = open_source(str(zipped(pictures, inside="outer/set/")))
    assert named(source) == {f"outer/set/{name}": label for name, label in LABELS.items()}
    assert named(open_source(f"{pictures.with_suffix('.zip')}/outer")) == {
        f"set/{name}": label for name, label in LABELS.items()
    }
    # Not in one that holds only some of them.
    (pictures / "labels.csv").rename(pictures / "sub" / "labels.csv")
    (pictures / "a.png").rename(pictures / "sub" / "a.png")
    with pytest.raises(UserError, match=r"not pictures here, such as sub/sub/b\.png"):
        open_source(str(pictures))


def test_labels_file_without_entries_means_unlabelled(pictures: Path) -> None:
    (pictures / "labels.csv").write_text("file,label\n")
    assert set(named(open_source(str(pictures))).values()) == {None}


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("labels.csv", "name,class\na.png,cat\n", "begins with 'name,class'"),
        ("labels.csv", "", "begins with 'nothing'"),
        ("labels.csv", "file,label\na.png\n", "has 1 columns in the line of 'a.png'"),
        ("labels.csv", 'file,label\n"a.png,cat', "unexpected end of data"),
        ("labels.csv", b"file,label\n\xff,cat", "can't decode byte"),
        ("labels.csv", "file,label\na.png,\nsub/b.png,x\nsub/c.png,x", "1 labelled with an empty"),
        ("labels.csv", "file,label\na.png,x\na.png,y\n", "1 named more than once, such as a.png"),
        ("labels.csv", "file,label\na.png,x\n", "2 not named, such as sub/b.png"),
        (
            "labels.csv",
            "file,label\n../a.png,x\n",
            "1 named that are not pictures here, such as ..",
        ),
        ("labels.json", "{", "Expecting property name"),
        ("labels.json", '[["a.png", "x"]]', "is not a JSON object"),
        ("labels.json", '{"a.png": null}', "the label of 'a.png' is neither"),
        ("labels.json", '{"a.png": true}', "the label of 'a.png' is neither"),
        ("labels.json", '{"a.png": {"x": 1}}', "the label of 'a.png' is neither"),
        ("labels.json", '{"a.png": "x", "a.png": "x"}', "more than once, such as a.png"),
        ("labels.json", '{"labels.json": "x"}', "not pictures here, such as labels.json"),
        ("labels.json", "[" * 100_000, "recursion"),
        ("dataset.json", "{", "Expecting property name"),
        ("dataset.json", '{"labels": {"a.png": 1}}', "its labels are not a list"),
        ("dataset.json", '{"labels": {}}', "its labels are not a list"),
        ("dataset.json", '{"labels": false}', "its labels are not a list"),
        ("dataset.json", '{"labels": [["a.png", 1.5]]}', 'labels hold ["a.png", 1.5]'),
        ("dataset.json", '{"labels": [["a.png", [0, 1]]]}', "labels hold"),
        ("dataset.json", '{"labels": [["a.png", true]]}', "the label of 'a.png' is neither"),
        ("dataset.json", '{"labels": [["a.png", 1]]}', "2 not named, such as sub/b.png"),
    ],
)
def test_wrong_labels_files_are_one_line(
    pictures: Path, file: str, text: str | bytes, complaint: str, refusal, zipped
) -> None:
    (pictures / file).write_bytes(text.encode() if isinstance(text, str) else text)
    messages = []
    for place in (pictures, zipped(pictures)):
        message = refusal(place)
        assert f"Received: {place}/{file}: " in message
        messages.append(message.replace(str(place), ""))
    assert messages[0] == messages[1]
    assert complaint in messages[0]


def test_two_labels_files_are_refused(pictures: Path) -> None:
    for name, text in FORMS.items():
        (pictures / name).write_text(text)
    with pytest.raises(UserError, match=r"with labels\.csv and labels\.json"):
        open_source(str(pictures))


def test_names_in_it_may_be_of_windows_or_of_macos(tmp_path: Path, draw) -> None:
    for name in ("a/café.png", "a/cafe\u0301.jpg", "b/x.png", "b/y\\z.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        draw().save(tmp_path / name)
    names = ("a\\cafe\u0301.png", "a/café.jpg", ".\\b\\x.png", "b/y\\z.png")
    rows = [f"{name},{number}" for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    labels = named(open_source(str(tmp_path)))
    assert labels == {
        "a/café.png": "0", "a/cafe\u0301.jpg": "1", "b/x.png": "2", "b/y\\z.png": "3",
    }  # fmt: skip


def test_class_names() -> None:
    assert class_names(["b", "a", "b"]) == ("a", "b")
    assert class_names(["10", "-1", "9"]) == ("-1", "9", "10")
    assert class_names(["10", "9", "x"]) == ("10", "9", "x")
    assert class_names([]) == ()
    long = ["9" * 5000, "10"]  # Python refuses to convert this many digits.
    assert class_names(long) == ("10", long[0])
