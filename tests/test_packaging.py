"""What setup.py declares, against what the folders hold and the code imports."""

import ast
import re
import runpy
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FLOORS = ("layers", "savedmodels", "pipeline")


@pytest.fixture(name="declared")
def _declared(monkeypatch):
    """The arguments of `setup()`."""
    captured = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: captured.update(arguments))
    runpy.run_path(str(ROOT / "setup.py"))
    return captured


def third_party_imports(folder):
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - set(FLOORS)


def test_every_package_is_declared(declared):
    found = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for floor in FLOORS
        for path in (ROOT / floor).rglob("__init__.py")
    }
    assert sorted(declared["packages"]) == sorted(found)


def test_every_module_is_in_a_package():
    folders = {path.parent for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_file_beside_the_modules_is_shipped(declared):
    shipped = {
        path
        for package, patterns in declared["package_data"].items()
        for pattern in patterns
        for path in (ROOT / package).glob(pattern)
    }
    beside = {
        path
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert shipped == beside


def test_every_import_is_a_declared_dependency(declared):
    extras = declared["extras_require"]
    declared_here = [
        *declared["install_requires"],
        *(each for name in ("beam", "video", "onnx", "serve", "schedule") for each in extras[name]),
    ]
    requirements = {canonicalize_name(Requirement(r).name) for r in declared_here}
    providers = packages_distributions()
    for name in set().union(*map(third_party_imports, FLOORS)):
        provided_by = {canonicalize_name(distribution) for distribution in providers.get(name, ())}
        assert provided_by & requirements, f"setup.py does not declare what provides `{name}`"


def test_layers_import_only_keras_and_numpy():
    assert third_party_imports("layers") <= {"keras", "numpy"}


def test_the_lock_satisfies_every_range(declared):
    pins = dict(
        re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.M)
    )
    extras = declared["extras_require"]
    for requirement in map(Requirement, [*declared["install_requires"], *extras["dev"]]):
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}"
    assert "torch" not in pins
