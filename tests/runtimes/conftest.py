"""Lets the tests of the runtimes use the pretended sessions of the api tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))
