"""Steps of the clock: heard of by the kernel's word, not by looking."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from api_fakes import asynchronous
from firing_house import open_house

from outlast.scheduler.steps import Steps


def timers() -> list[str]:
    """The timers this process holds open."""
    found = [Path(f"/proc/self/fdinfo/{fd}") for fd in os.listdir("/proc/self/fd")]
    return [text for path in found if path.exists() and "clockid" in (text := path.read_text())]


@asynchronous
async def test_it_asks_the_kernel_for_steps_of_the_real_clock_and_lets_go() -> None:
    """The real clock, cancelled when it is set: what the kernel was asked for stands in /proc."""
    before = timers()
    told: list[str] = []
    steps = Steps(lambda: told.append("step"))
    steps.start()
    [timer] = [text for text in timers() if text not in before]
    assert "clockid: 0" in timer
    assert "settime flags: 03" in timer, "absolute, and cancelled on set"
    await asyncio.sleep(0)
    assert told == []
    steps.heard()
    assert told == ["step"]
    assert len(timers()) == len(before) + 1
    steps.stop()
    assert len(timers()) == len(before)
    steps.stop()


@asynchronous
async def test_after_a_suspend_what_is_due_is_fired_at_once(tmp_path: Path) -> None:
    """A laptop that slept through the hour fires when it wakes, not when the seconds it was awake add up."""
    async with open_house(("sqlite", str(tmp_path / "ledger.db"))) as house:
        await house.rule(every=3600)
        await house.go(60)
        house.clock.since += 3 * 86_400
        house.schedulers[0]._steps._callback()
        await house.go(0.1)
        assert [how for _, how in await house.how()] == ["missed", "fired"]


@asynchronous
async def test_where_the_kernel_cannot_tell_the_scheduler_works_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timer of that kind: the net under the loop remains."""

    class Nothing:
        def __init__(self, *_: object, **__: object) -> None:
            pass

    monkeypatch.setattr("ctypes.CDLL", Nothing)
    async with open_house(("sqlite", str(tmp_path / "ledger.db"))) as house:
        await house.rule(every=3600)
        await house.go(60)
        house.clock.since += 86_400
        await house.go(600)
        assert [how for _, how in await house.how()] == ["missed", "fired"]
