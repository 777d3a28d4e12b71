"""Commands as a shell takes them."""

from __future__ import annotations

import subprocess

import pytest

from pipeline.cli.next_commands import join_command, quote


@pytest.mark.parametrize(
    "word",
    ["plain", "two words", "it's", "a\nb", "\x1b[31m", "\udcff'\\", "naïve", "$HOME", "", "\u200b"],
)
def test_bash_gives_every_word_back(word: str) -> None:
    command = join_command(["printf", "%s", word])
    assert command.isprintable()
    given = subprocess.run(
        ["bash", "-c", command], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    ).stdout
    assert given == word.encode("utf-8", "surrogateescape")


def test_a_word_without_oddities_stays_as_it_is() -> None:
    assert quote("runs/first") == "runs/first"
