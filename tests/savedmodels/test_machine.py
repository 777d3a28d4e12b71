"""Which machines give the same bits, and how their differences are told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from savedmodels import machine
from savedmodels.machine import this_machine


def test_a_machine_is_the_same_as_itself() -> None:
    assert this_machine() == this_machine()
    assert this_machine().differences(this_machine()) == ""


def test_the_processor_is_told_with_its_vector_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "processor\t: 0\nvendor_id\t: Some\ncpu family\t: 6\nmodel\t\t: 143\nbogomips : 1\n"
        "flags\t\t: fpu vme avx512f avx avx2 syscall\n\nprocessor\t: 1\nvendor_id\t: Other\n"
    )
    processors = tmp_path / "cpuinfo"
    processors.write_text(text)
    monkeypatch.setattr(machine, "_CPU_INFO", processors)
    here = this_machine()
    assert here.processor == "Some 6 143"
    assert here.instructions == "avx avx2 avx512f"
    processors.write_text("processor : 0\nFeatures : fp asimd\nCPU part : 0xd40\n")
    here = this_machine()
    assert here.processor == "0xd40"
    assert here.instructions == "asimd"


def test_a_platform_without_such_files_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "none")
    monkeypatch.setattr(machine, "_CACHES", tmp_path / "none")
    here = this_machine()
    assert here.instructions
    assert here.caches == ""


def test_settings_that_choose_kernels_make_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = this_machine()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    after = this_machine()
    assert after != before
    assert "settings ONEDNN_MAX_CPU_ISA=AVX2 in place of none" in after.differences(before)


def test_differences_are_told_without_what_is_shared() -> None:
    here = this_machine()
    one = dataclasses.replace(here, instructions="avx avx2 fma", gpus="")
    other = dataclasses.replace(here, instructions="avx avx512f fma", gpus="Some GPU")
    assert one.differences(other) == (
        "instructions avx2 in place of avx512f, gpus none in place of Some GPU"
    )
