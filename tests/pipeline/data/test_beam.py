from pathlib import Path

import pytest

from pipeline.config import DataConfig
from pipeline.data.prepare import prepare
from pipeline.errors import UserError

beam = pytest.importorskip("pipeline.data.beam", reason="Apache Beam is the extra `beam`")


# Of Beam's own making.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("options", [["--runner=DirectRunner"]])
def test_beam_writes_the_same_bytes(tmp_path: Path, monkeypatch, options: list[str]) -> None:
    monkeypatch.setattr("pipeline.data.shards.MAX_PICTURES", 600)
    data = DataConfig(source="digits", channels=1, val=0.1, mirrored_copies=True)
    here = prepare(data, (4, 8), tmp_path / "here")
    there = prepare(data, (4, 8), tmp_path / "there", write=beam.writer(options))
    assert there.model_dump() == here.model_dump()
    for split in ("train", "val"):
        for one, other in zip(here.files(8, split), there.files(8, split), strict=True):
            assert one.read_bytes() == other.read_bytes()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_pipeline_that_cannot_run_is_one_line(tmp_path: Path) -> None:
    data = DataConfig(source="digits", channels=1)
    with pytest.raises(UserError, match=r"Received: --runner=Nope, ValueError: .*Nope") as caught:
        prepare(data, (4,), tmp_path / "set", write=beam.writer(["--runner=Nope"]))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists()
