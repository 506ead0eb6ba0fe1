"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OWNERS = packages_distributions()  # module -> what brings it: a distribution is often called something else
ROOT = Path(__file__).resolve().parents[2]
OURS = ("accounts", "analytics", "bakery", "databases", "deployments", "domains", "infrastructure")
BESIDE = ("benchmarks", "tests")  # where not every rule holds
RUNNER = Path("infrastructure/runner.py")
SHELLS = {"sh", "bash", "dash", "/bin/sh", "/bin/bash"}
# These become another program or send signals; they start none beside themselves.
FORBIDDEN_CALLS = {"os.system", "os.popen", "os.spawnv", "os.spawnl", "os.posix_spawn", "pty.spawn", "eval", "exec"}


def sources(*more: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in (*OURS, *more):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "examples" not in path.parts and "node_modules" not in path.parts:
                yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_only_the_runner_imports_subprocess() -> None:
    found = [
        str(path)
        for path, tree in sources()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(name.name == "subprocess" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "subprocess")
    ]
    assert set(found) == {str(RUNNER)}


def test_no_shell_is_ever_asked() -> None:
    found = [f"{path}:{node.lineno}" for path, tree in sources() for node in ast.walk(tree) if _asks_a_shell(node)]
    assert found == []


def _asks_a_shell(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        if ast.unparse(node.func) in FORBIDDEN_CALLS:
            return True
        return any(
            word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
            for word in node.keywords
        )
    if isinstance(node, ast.List | ast.Tuple) and len(node.elts) > 1:
        texts = [element.value if isinstance(element, ast.Constant) else None for element in node.elts]
        return texts[0] in SHELLS and texts[1] == "-c"
    return False


def test_the_rules_see_what_they_forbid() -> None:
    broken = ["os.system('x')", "run('x', shell=True)", "['sh', '-c', 'x']", "('/bin/bash', '-c', x)"]
    for line in broken:
        assert any(_asks_a_shell(node) for node in ast.walk(ast.parse(line))), line
    assert not any(_asks_a_shell(node) for node in ast.walk(ast.parse("run(['sh', 'x'], shell=False)")))


def test_no_module_outgrows_four_hundred_lines() -> None:
    long = {
        str(path): count
        for path, _ in sources(*BESIDE)
        if "migrations" not in path.parts and (count := len((ROOT / path).read_text().splitlines())) > 400
    }
    assert long == {}


def test_nothing_is_left_for_later() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError")
    found = [str(path) for path, _ in sources() if unfinished.search((ROOT / path).read_text(encoding="utf-8"))]
    assert found == []


def requirements() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_and_can_be_imported(requirement: Requirement) -> None:
    assert [part.operator for part in requirement.specifier] == ["=="], f"{requirement} is not pinned"
    if requirement.marker and not requirement.marker.evaluate():
        return  # for another version of Python
    name = canonicalize_name(requirement.name)
    modules = [module for module, owners in OWNERS.items() if name in map(canonicalize_name, owners)]
    for module in modules:
        importlib.import_module(module)
    assert modules or list(distribution(name).files or []), f"{name} is not installed"
