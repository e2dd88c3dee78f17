"""Loud commands: how fast output reaches the disk, and what memory that takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import tempfile
import threading
import time
from collections.abc import Iterator

import machine
from figures import Bound, Row, Side, ratio_by_round, ratio_of_medians, spread
from lodging import Lodging
from talk import Line

from outlast.process.keeper import proc

MIB = 1 << 20
RAISED = {"OUTLAST_EXEC_OUTPUT_CAP_BYTES": str(64 << 30)}


def capture(short: bool) -> Iterator[Row]:
    """`yes | head -c 1G` to disk, beside a child that writes the file itself."""
    size, rounds = (64 * MIB, 2) if short else (1024 * MIB, 9)
    with Lodging(**RAISED) as whole, Lodging() as capped:
        whole.start()
        capped.start()
        yield from asyncio.run(_capture(whole, capped, size, rounds))
        yield asyncio.run(_pty(whole, 2 * MIB if short else 24 * MIB, 2 if short else 5))
        whole.stop()
        capped.stop()


class _Peaks:
    """The most memory seen in the gateway and in any supervisor while commands were loud."""

    def __init__(self) -> None:
        self.supervisor = 0
        self.gateway_growth = 0


async def _capture(whole: Lodging, capped: Lodging, size: int, rounds: int) -> list[Row]:
    command = f"yes | head -c {size}"
    speeds: dict[str, list[float]] = {"whole": [], "capped": [], "file": []}
    peaks = _Peaks()
    lines = {"whole": await Line.open(whole.socket), "capped": await Line.open(capped.socket)}
    lodgings = {"whole": whole, "capped": capped}
    for turn in range(rounds + 1):
        for name in _turned(["whole", "file", "capped"], turn):
            if name == "file":
                speed = await _to_file(whole.home, command, size)
            else:
                speed = await _through(lines[name], lodgings[name], command, size, peaks)
            if turn:
                speeds[name].append(speed)
    for line in lines.values():
        line.close()
    return [_speed_row(name, speeds, size) for name in ("whole", "capped")] + _memory_rows(peaks, size)


def _turned(names: list[str], turn: int) -> list[str]:
    turn %= len(names)
    return names[turn:] + names[:turn]


async def _through(line: Line, lodging: Lodging, command: str, size: int, peaks: _Peaks, **more: object) -> float:
    """MB/s from the start to the exit, everything read by then; the output is removed afterwards."""
    gateway = lodging.gateway_pid
    before = machine.memory(gateway).rss
    watch = asyncio.ensure_future(_watch(lodging, peaks))
    began = time.perf_counter()
    result = await line.post("/v1/exec", command=command, yieldMs=120000, maxBytes=1024, **more)
    seconds = time.perf_counter() - began
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    peaks.gateway_growth = max(peaks.gateway_growth, machine.memory(gateway).rss - before)
    assert result["exitCode"] == 0, result
    truncated = result["truncated"]
    assert truncated["producedBytes"] >= size, truncated
    await _remove(line, result["sessionId"])
    return size / 1e6 / seconds


async def _remove(line: Line, name: str) -> None:
    """Drop the output at once, so that writing it back does not disturb whoever is next."""
    await line.post("/v1/wait", sessionIds=[name], **{"for": "exit"})
    for _ in range(1000):
        try:
            await line.send(b"DELETE /v1/sessions/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
        except RuntimeError:  # its supervisor is still closing up
            await asyncio.sleep(0.005)
        else:
            return


async def _watch(lodging: Lodging, peaks: _Peaks) -> None:
    """Look at the newest supervisor's peak every 50 ms: the kernel keeps it, so nothing in between is missed."""
    while True:
        await asyncio.sleep(0.05)
        for name in os.listdir(lodging.paths.open):
            pid = _supervisor_of(f"{lodging.paths.sessions}/{name}/record")
            if pid:
                peaks.supervisor = max(peaks.supervisor, machine.peak_rss(pid))


def _supervisor_of(record: str) -> int:
    try:
        with open(record, encoding="ascii") as file:
            started = [line for line in file if line.startswith('{"started"')]
        pid = int(json.loads(started[0])["started"]["supervisor"]) if started else 0
    except (OSError, ValueError):
        return 0
    return pid if proc.state_of(pid) else 0


async def _to_file(folder: str, command: str, size: int) -> float:
    """MB/s of the same command with a file as its standard output."""
    fd, path = tempfile.mkstemp(dir=folder)
    try:
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", command, stdout=fd, stdin=asyncio.subprocess.DEVNULL
        )
        await process.wait()
        seconds = time.perf_counter() - began
        assert os.fstat(fd).st_size == size
    finally:
        os.close(fd)
        os.unlink(path)
    return size / 1e6 / seconds


def _speed_row(name: str, speeds: dict[str, list[float]], size: int) -> Row:
    ours, theirs = speeds[name], speeds["file"]
    cap = "nothing dropped" if name == "whole" else "default cap of 256 MiB"
    return Row(
        f"capture.{name}",
        f"output to disk, {cap}",
        f"`yes | head -c {size // MIB} MiB`, start → exit known with all of it read, in turns with a child whose "
        "stdout is a file; files are removed between turns",
        [Side("outlast", ours, "MB/s"), Side("child → file", theirs, "MB/s")],
        "ratio of medians",
        ratio_of_medians(ours, theirs),
        "×",
        Bound("at least", 0.8),
        spread(ratio_by_round(ours, theirs, len(ours))),
    )


def _memory_rows(peaks: _Peaks, size: int) -> list[Row]:
    how = f"the kernel's own peak, over all turns of {size // MIB} MiB"
    supervisor, growth = peaks.supervisor / MIB, peaks.gateway_growth / MIB
    bound = Bound("at most", 32)
    return [
        Row(
            "capture.supervisor_memory",
            "peak memory of a supervisor under load (RSS, shared pages included)",
            how,
            [Side("supervisor", [supervisor], "MiB")],
            "peak",
            supervisor,
            "MiB",
            bound,
        ),
        Row(
            "capture.gateway_memory",
            "growth of the gateway under load",
            "RSS after a turn less before it, the worst turn",
            [Side("gateway", [growth], "MiB")],
            "growth",
            growth,
            "MiB",
            bound,
        ),
    ]


async def _pty(lodging: Lodging, size: int, rounds: int) -> Row:
    """Through a terminal, where the kernel's line discipline sets the pace."""
    command = f"yes | head -c {size}"
    line = await Line.open(lodging.socket)
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds):
        if turn % 2:
            theirs.append(await asyncio.to_thread(_read_pty, command, size, lodging.home))
        ours.append(await _through(line, lodging, command, size, _Peaks(), pty=True))
        if not turn % 2:
            theirs.append(await asyncio.to_thread(_read_pty, command, size, lodging.home))
    line.close()
    return Row(
        "capture.pty",
        "output through a terminal",
        f"`yes | head -c {size // MIB} MiB` on a pty, in turns with a bare loop that reads a pty and writes a file",
        [Side("outlast", ours, "MB/s"), Side("bare pty loop", theirs, "MB/s")],
        "ratio of medians",
        ratio_of_medians(ours, theirs),
        "×",
        None,
        spread(ratio_by_round(ours, theirs, len(ours))),
    )


def _read_pty(command: str, size: int, folder: str) -> float:
    import subprocess

    master, slave = pty.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    reader = threading.Thread(target=_drain, args=(master, folder))
    reader.start()
    process.wait()
    reader.join()
    seconds = time.perf_counter() - began
    os.close(master)
    return size / 1e6 / seconds


def _drain(master: int, folder: str) -> None:
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        while True:
            try:
                data = os.read(master, MIB)
            except OSError:
                return
            if not data:
                return
            file.write(data)
