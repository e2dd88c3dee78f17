"""The repository itself: its walls, its sizes, and what must never be in it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import outlast

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "outlast"
MODULES = sorted(SRC.rglob("*.py"))
SKIPPED_DIRS = {".git", ".venv", "dist", "build", "__pycache__", ".demo", ".home"}
FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70


def tracked_files() -> Iterator[Path]:
    """Every text file that belongs to the repository, with or without git."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [
            n for n in names if n not in SKIPPED_DIRS and not n.endswith(("_cache", ".egg-info", ".hypothesis"))
        ]
        for file in set(files) - {".git"}:  # in a second working tree that is a file
            path = Path(folder, file)
            if b"\0" not in path.read_bytes()[:4096]:
                yield path


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def find(pattern: str) -> list[str]:
    """Where a regular expression occurs in the repository, as ``file:line: text``."""
    wanted = re.compile(pattern)
    return [
        f"{relative(path)}:{number}: {line.strip()[:100]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if wanted.search(line)
    ]


def test_no_absolute_path_of_a_developers_machine() -> None:
    """A path that exists on one machine only breaks on every other."""
    homes = "|".join(("work", "root", "Users/[a-z]", "home/(?!(you|user|me|ann)\\b)[a-z]"))
    assert find(rf"(?<![\w.~}}$*/])/({homes})/\w") == []


def test_no_registry_host() -> None:
    """Where packages come from is the installer's business, not the repository's."""
    hosts = [
        "py" + "pi.org",
        "python" + "hosted.org",
        "npm" + "js.org",
        "crates" + ".io",
        "proxy.go" + "lang.org",
    ]
    assert find("|".join(map(re.escape, hosts))) == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_says_what_it_is_and_stays_small(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no module docstring"
    assert text.count("\n") <= FILE_LINES_MAX
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_imports_only_point_down() -> None:
    """The contracts of pyproject.toml, held by import-linter."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_folder_of_code_is_on_a_floor() -> None:
    """A new package that no contract knows would be a hole in the wall."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(c for c in contracts if c["type"] == "layers")["layers"]
    known = {name.strip().rpartition(".")[2] for floor in floors for name in re.split(r"[|:]", floor)}
    found = {
        p.stem if p.is_file() else p.name for p in SRC.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()
    }
    assert found - known <= {"__init__", "_version"}


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
    literal = re.compile(rf"""["']{re.escape(outlast.__version__)}["']""")
    assert [relative(p) for p in MODULES if literal.search(p.read_text())] == ["src/outlast/_version.py"]


def test_the_changelog_is_open_for_the_next_change() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "[Unreleased]"


def test_every_make_target_has_a_line_of_help() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", text, re.M)
    assert phony
    helped = set(re.findall(r"^([a-z-]+):.*## \S", text, re.M))
    assert set(phony[1].split()) == helped


def test_the_service_unit_ends_the_gateway_alone() -> None:
    """With systemd's default every session would die at each restart of the gateway."""
    unit = (ROOT / "deploy/systemd/outlast-gateway.service").read_text()
    assert re.findall(r"^(KillMode|Restart|OOMPolicy)=(.+)$", unit, re.M) == [
        ("Restart", "on-failure"),
        ("KillMode", "process"),
        ("OOMPolicy", "continue"),
    ]


def test_scripts_can_be_run() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT, check=False).returncode == 0
