"""No test hangs for ever: not in itself, not on its way out, not in the end of a fixture after it has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
HANGING = """
import threading, pytest

def for_ever():
    threading.Event().wait()

@pytest.fixture
def at_the_end():
    yield
    for_ever()

def test_fails_and_hangs_at_its_end(at_the_end):
    assert False

def test_hangs_and_hangs_on_its_way_out():
    try:
        for_ever()
    finally:
        for_ever()

def test_hangs_at_its_end(at_the_end):
    pass

def test_is_well():
    pass
"""


def test_whatever_hangs_is_ended_and_the_next_test_runs(tmp_path: Path) -> None:
    file = tmp_path / "test_hanging.py"
    file.write_text(HANGING)
    words = ["--timeout", "4", "--timeout-method", "signal", "-p", "conftest", "-p", "no:cacheprovider", "-rA"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), *words, str(file)],
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_ADDOPTS": ""},
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "2 failed, 2 passed, 2 errors" in ran.stdout, ran.stdout + ran.stderr
    assert "ERROR test_hanging.py::test_fails_and_hangs_at_its_end - Failed: Timeout" in ran.stdout
