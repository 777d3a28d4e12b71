"""Commands in this process, and a run that one has finished."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from tests.pipeline.cli.commands import TINY, Growgan, Result

SHARED_FIXTURES = ("workspace",)


@pytest.fixture(autouse=True)
def _forked(request: pytest.FixtureRequest) -> None:
    """Fork what tests and commands start, but where only new interpreters prove the sentence."""
    if request.node.get_closest_marker("new_interpreter") is None:
        request.getfixturevalue("forked")


@pytest.fixture
def growgan(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Growgan:
    """Run a command in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["growgan", *map(str, arguments)])
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return Result(int(caught.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator with labels, exported as a run does it."""
    from pipeline.families.progan.config import ProGANConfig
    from pipeline.families.progan.networks import Generator
    from pipeline.sampling.sampler import latent_sampler
    from savedmodels.export import export
    from savedmodels.exportable import Exportable

    maker = Generator(ProGANConfig(fmap_max=8, latent_size=6), channels=3, label_size=3)
    model = maker.model(8, fading=False)
    base = tmp_path_factory.mktemp("exported")
    return export(Exportable(latent_sampler(model)), base, 7, lineage={}, names=["generate"])


@pytest.fixture
def only_c_api(forked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify by one loader, in a fork."""
    from savedmodels import loaders

    only = {loaders.C_API: loaders.LOADERS[loaders.C_API]}
    monkeypatch.setattr(loaders, "LOADERS", only)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, python: str) -> Path:
    """A folder with a finished tiny run in `run` and its records in `records`."""
    folder = tmp_path_factory.mktemp("workspace")
    command = [python, "-m", "pipeline.cli", "train", *TINY, "--profile", "2,3"]
    command += ["--set", f"data.records={folder / 'records'}", "--out", str(folder / "run")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    (folder / "out.txt").write_text(result.stdout)
    return folder
