"""Fixtures of the delivery tests: a store, a clock that stands still, and channels that do what the test says."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))
