"""The choice among the sources: what is none, what it costs to ask, and real sets."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.data.sources import open_source


def test_what_is_no_source_is_refused(tmp_path: Path, refusal) -> None:
    assert "does not exist" in refusal(tmp_path / "missing")
    assert "with none" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    assert "another kind of file" in refusal(tmp_path / "notes.txt")


@pytest.mark.new_interpreter
def test_import_is_light(pytestconfig: pytest.Config) -> None:
    code = (
        "import sys, pipeline.data.conversion; "
        "heavy = {'tensorflow', 'keras', 'sklearn', 'tensorflow_datasets', 'matplotlib', 'av'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("spec", "count", "classes", "size"),
    [
        ("mnist", 60_000, 10, (28, 28)),
        ("mnist/t10k-images-idx3-ubyte.gz", 10_000, 10, (28, 28)),
        ("cifar10_jpeg_20k.zip/train", 15_000, 10, (32, 32)),
        ("eurosat64_5k.zip", 5_000, 5, (64, 64)),
        ("flowers256_500.zip", 500, 5, (256, 256)),
        ("emoji64_noto_twemoji.zip", 3_290, 2, (64, 64)),
        ("fluent3d_256_400_png.zip", 400, 0, (256, 256)),
    ],
)
def test_real_sources(
    shared_folder: Path, spec: str, count: int, classes: int, size: tuple[int, int]
) -> None:
    source = open_source(str(shared_folder / "data" / spec))
    assert (len(source), len(source.classes)) == (count, classes)
    first = next(iter(source))
    assert first.read().size == size
