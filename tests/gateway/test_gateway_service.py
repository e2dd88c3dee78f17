"""Loops: one pass at a time, and no bad pass ends one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))

from api_fakes import FakeClock, asynchronous, settle

from outlast.gateway.service import BACKOFF_FIRST, Service


@asynchronous
async def test_a_pass_is_made_at_once_and_then_on_time() -> None:
    clock, passes = FakeClock(), []

    async def one() -> None:
        passes.append(clock.monotonic())

    service = Service("test", one, every=60, clock=clock)
    service.start()
    await settle()
    await clock.advance(59)
    assert passes == [0]
    await clock.advance(2)
    assert passes == [0, 60]
    await service.stop()
    assert clock.due == []
    await service.stop()


@asynchronous
async def test_a_failing_pass_is_tried_again_with_growing_pauses(caplog: pytest.LogCaptureFixture) -> None:
    clock, passes = FakeClock(), 0

    async def one() -> None:
        nonlocal passes
        passes += 1
        if passes <= 3:
            raise OSError("disk")

    service = Service("test", one, every=60, clock=clock)
    service.start()
    pauses = []
    for _ in range(5):
        await settle()
        pauses.append(clock.due[0])
        await clock.advance(clock.due[0])
    assert pauses == [BACKOFF_FIRST, 2 * BACKOFF_FIRST, 4 * BACKOFF_FIRST, 60, 60]
    assert "test failed, again in 1 s" in caplog.text
    await service.stop()


@asynchronous
async def test_stopping_ends_a_pass_under_way() -> None:
    clock = FakeClock()
    service = Service("test", lambda: clock.sleep(1000), every=60, clock=clock)
    service.start()
    await settle()
    assert clock.due == [1000]
    await service.stop()
    assert clock.due == []
