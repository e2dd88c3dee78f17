"""Findings: each kind has a severity, a threshold and a command that names the task it mends."""

from __future__ import annotations

import pytest

from outlast.core.findings import KINDS, SEVERITIES, Code, Finding

THRESHOLDS = {
    "stale_queued": 600.0, "stale_running": 1800.0, "stale_waiting": 86_400.0, "stale_blocked": 3600.0,
    "cancel_stuck": 600.0, "no_worker": 60.0, "silent_agent": 900.0, "parked_permission": 3600.0,
}  # fmt: skip


@pytest.mark.parametrize("code", Code)
def test_every_kind_is_described(code: Code) -> None:
    kind = KINDS[code]
    assert kind.severity in SEVERITIES
    assert kind.after_seconds == THRESHOLDS.get(code.value, 0.0)
    assert "outlast " in kind.fix


def test_the_kinds_are_listed_worst_first() -> None:
    order = [SEVERITIES.index(kind.severity) for kind in KINDS.values()]
    assert order == sorted(order) and set(KINDS) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_the_fix_names_the_task_and_leaves_no_gap(code: Code) -> None:
    finding = Finding(code, "nightly", "is lost", task_id="t123")
    assert finding.severity == KINDS[code].severity
    assert "{" not in finding.fix
    assert ("t123" in finding.fix) is ("{id}" in KINDS[code].fix)


def test_a_finding_about_no_task_still_has_a_fix() -> None:
    assert Finding(Code.LOW_DISK, "disk", "is full").fix.startswith("free some space")
