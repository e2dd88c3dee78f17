"""Output of real commands: whole, in order, told apart, bounded on disk and in memory, and never made up."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from pathlib import Path

import pytest
from process_faults import LIMIT, kill9, printed, supervisor_of, until, within

from houses import House, ended, spec, text
from outlast.core.errors import BadInput
from outlast.core.session import Span
from outlast.process.output import PAGE_MAX, Output
from outlast.process.sessions import Sessions

MIB = 1 << 20
FIRST = 100_000_000_000_000
"""`seq` from here prints lines of 16 bytes, so that the line at any offset is known."""


def counted(start: int, size: int) -> bytes:
    """What `seq FIRST …` prints from byte ``start`` on."""
    first, last = start // 16, (start + size) // 16 + 1
    lines = b"".join(b"%d\n" % (FIRST + i) for i in range(first, last))
    return lines[start - first * 16 :][:size]


def rss(pid: int | str) -> int:
    """Bytes of memory a process holds now."""
    return _status(pid, "VmRSS")


def peak(pid: int | str) -> int:
    """Bytes of memory a process ever held."""
    return _status(pid, "VmHWM")


def _status(pid: int | str, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise AssertionError(key)


def disk(output_folder: str) -> int:
    """Bytes the output takes on the disk."""
    return sum(os.stat(f"{output_folder}/{name}").st_blocks * 512 for name in ("out", "gaps"))


def test_both_streams_are_told_apart_in_the_order_they_came(house: House) -> None:
    """Two thousand changes between stdout and stderr: every byte keeps its stream and its place."""

    async def act(table: Sessions) -> None:
        script = (
            "import os, time\nfor i in range(1000):\n    os.write(1 + i % 2, b'%04d\\n' % i)\n    time.sleep(0.0005)\n"
        )
        session = await ended(table, [sys.executable, "-c", script])
        pieces = list(session.output.pieces(0, session.produced))
        for stream in (1, 2):
            got = b"".join(data for _, which, data in pieces if which == stream)
            assert got == b"".join(b"%04d\n" % i for i in range(stream - 1, 1000, 2))
            page = session.output.lines(0, 1000, stream)
            assert (page.text, page.count, page.total) == (got, 500, 500)
            last = session.output.lines(None, 3, stream)
            assert (last.text, last.offset) == (got[-15:], 497)
        assert session.produced == 5000
        assert sorted(text(session).split()) == [f"{i:04}" for i in range(1000)]

    house.run(act)


def test_streams_that_were_merged_by_request_keep_the_commands_order(house: House) -> None:
    """One pipe for both: the order is the kernel's, byte for byte."""

    async def act(table: Sessions) -> None:
        command = "for i in $(seq 200); do echo o$i; echo e$i >&2; done"
        session = await ended(table, command, streams="merged")
        assert text(session).split() == [word for i in range(1, 201) for word in (f"o{i}", f"e{i}")]
        assert {stream for _, stream, _ in session.output.pieces(0, session.produced)} == {1}

    house.run(act)


@pytest.mark.parametrize("fields", [{}, {"streams": "merged"}, {"pty": True}])
def test_a_script_that_opens_its_own_stderr_again_loses_nothing(house: House, fields: dict) -> None:
    """`> /dev/stderr` truncates a log that is a file and fails on a socket; here it is just a line."""

    async def act(table: Sessions) -> None:
        command = "echo one; echo two; echo err > /dev/stderr; echo three; echo 2>&1 four > /dev/stdout"
        session = await ended(table, command, **fields)
        assert session.end.code == 0
        assert sorted(text(session).split()) == ["err", "four", "one", "three", "two"]
        if fields:
            assert text(session).split() == ["one", "two", "err", "three", "four"]

    house.run(act)


def test_bytes_that_are_no_text_keep_their_values_and_offsets(house: House) -> None:
    """NULs, all 256 values, invalid UTF-8 and escape sequences, from a pipe: exactly what was written."""
    blob = bytes(range(256)) * 40 + b"\xff\xfe\0\0\x1b[31mred\x1b[0m\r\n\xc3" + random.Random(1).randbytes(70_000)

    async def act(table: Sessions) -> None:
        path = Path(house.home, "blob")
        path.write_bytes(blob)
        session = await ended(table, ["/bin/cat", str(path)])
        assert session.produced == len(blob)
        assert session.output.read(0, len(blob)) == blob
        for start, end in [(0, 1), (255, 257), (10_239, 10_260), (len(blob) - 1, len(blob)), (7, 70_000)]:
            assert session.output.read(start, end) == blob[start:end]
        assert b"".join(data for _, _, data in session.output.pieces(0, len(blob), 1000)) == blob
        page = session.output.lines(0, 10_000)
        assert (page.text, page.count, page.total) == (blob, blob.count(b"\n") + 1, blob.count(b"\n") + 1)
        for start, end in [(-1, 4), (4, 3), (len(blob) + 1, len(blob) + 2)]:
            with pytest.raises(BadInput) as error:
                session.output.read(start, end)
            assert error.value.code == "bad_range"

    house.run(act)


def test_one_line_of_fifty_megabytes_is_a_line(house: House) -> None:
    """A page of lines is bounded, says where it goes on, and the rest is there by byte range."""

    async def act(table: Sessions) -> None:
        command = f"echo first; head -c {50 * MIB} /dev/zero | tr '\\0' x; echo; echo last"
        session = await within(ended(table, command))
        size = 6 + 50 * MIB + 1 + 5
        assert session.produced == size
        out = session.output
        page = out.lines(0, 3)
        assert (page.text, page.count, page.total, page.end) == (b"first\n", 1, 3, 6)
        page = out.lines(1, 1)
        assert (page.text, page.count, page.start) == (b"x" * PAGE_MAX, 1, 6)
        assert page.end == 6 + PAGE_MAX
        assert out.lines(2, 5).text == b"last\n"
        page = out.lines(None, 1)
        assert (page.text, page.offset, page.start) == (b"last\n", 2, size - 5)
        assert out.read(6 + 25 * MIB, 16 + 25 * MIB) == b"x" * 10
        assert out.tail(8) == (size - 8, b"xx\nlast\n")
        assert out.omitted() == []

    house.run(act)


def test_a_terminals_last_words_are_there_when_its_end_is_told(house: House) -> None:
    """The exit never overtakes what was printed before it, on pipes and on ptys."""

    async def act(table: Sessions) -> None:
        async def one(turn: int) -> None:
            session = await table.start(spec(table, f"printf %s word{turn}", pty=bool(turn % 2)))
            await table.until_end(session)
            assert text(session) == f"word{turn}"
            assert session.end.produced == len(f"word{turn}")

        for turn in range(0, 40, 8):
            await within(asyncio.gather(*(one(turn + i) for i in range(8))))

    house.run(act)


def test_escapes_and_characters_split_over_reads_arrive_whole(house: House) -> None:
    """A slow writer splits everything; offsets count bytes, and nothing is lost at the seams."""
    word = "\x1b[31mгорячо\x1b[0m €".encode()

    async def act(table: Sessions) -> None:
        script = f"import os, time\nfor b in {word!r}:\n    os.write(1, bytes([b])); time.sleep(0.001)"
        session = await ended(table, [sys.executable, "-c", script])
        assert session.output.read(0, session.produced) == word

    house.run(act)


# ---- the cap


def test_a_flood_past_its_cap_keeps_head_and_tail_and_says_what_is_missing(house: House) -> None:
    """64 MiB against a cap of 4: bounded on disk at every moment, absolute offsets, and true bytes for readers.

    Four readers hammer the output meanwhile: whatever they get is what `seq` printed there, never a zero of the hole.
    """
    produced = 64 * MIB
    cap = 4 * MIB
    stop = threading.Event()
    wrong: list[object] = []
    reads = [0, 0, 0, 0]
    highest = [0]

    def hammer(folder: str, me: int) -> None:
        out, dice = Output(folder), random.Random(me)
        while not stop.is_set():
            size = out.produced
            start = dice.choice([0, max(0, size - 6 * MIB), dice.randrange(size + 1)])
            for at, data in out.blocks(out.spans(start, start + 3 * MIB)):
                if data != counted(at, len(data)):
                    wrong.append((me, at, len(data)))
            reads[me] += 1
            highest[0] = max(highest[0], disk(folder))

    async def act(table: Sessions) -> None:
        half, last = FIRST + produced // 32, FIRST + produced // 16 - 1
        command = f"seq {FIRST} {half - 1}; read go; seq {half} {last}"
        session = await table.start(spec(table, command, output_cap=cap, stdin="pipe"))
        await printed(table, session, 2 * MIB)
        threads = [threading.Thread(target=hammer, args=(session.folder, i), daemon=True) for i in range(4)]
        try:
            for thread in threads:
                thread.start()
            await until(lambda: min(reads) > 0)
            await table.write(session, b"go\n")
            await within(table.until_drained(session))
        finally:
            stop.set()
            for thread in threads:
                await asyncio.to_thread(thread.join, LIMIT)
        assert wrong == []
        assert not any(thread.is_alive() for thread in threads), "a reader does not come back"
        out = session.output
        assert (session.end.code, session.produced, session.end.produced) == (0, produced, produced)
        [gap] = out.omitted()
        assert gap.start == MIB
        assert produced - gap.end >= cap - MIB
        assert out.kept() == MIB + produced - gap.end
        assert max(highest[0], disk(session.folder)) <= cap + 10 * MIB
        assert out.read(0, MIB) == counted(0, MIB)
        assert out.read(gap.end, produced) == counted(gap.end, produced - gap.end)
        assert out.read(MIB - 8, gap.end + 8) == counted(MIB - 8, 8) + counted(gap.end, 8)
        assert out.omitted_in(2 * MIB, 3 * MIB) == [Span(2 * MIB, 3 * MIB)]
        assert out.read(2 * MIB, 3 * MIB) == b""
        assert out.lines(None, 2).text == counted(produced - 32, 32)
        assert out.lines(0, 2).text == counted(0, 32)

    house.run(act)


def test_a_supervisor_killed_in_a_flood_is_followed_without_a_seam(house: House) -> None:
    """Take-over past the cap: the same hole goes on, offsets do not move, no byte is doubled or missing."""
    produced = 48 * MIB

    async def act(table: Sessions) -> None:
        parts = [f"seq {at} {at + MIB - 1}" for at in (FIRST, FIRST + MIB, FIRST + 2 * MIB)]
        command = "; read go; ".join(parts)
        session = await table.start(spec(table, command, output_cap=4 * MIB, stdin="pipe"))
        for size in (8 * MIB, 24 * MIB):
            await printed(table, session, size)
            link = session.link
            kill9(supervisor_of(session))
            await until(lambda link=link: session.link not in (None, link))
            await table.write(session, b"go\n")
        await within(table.until_drained(session))
        assert (session.produced, session.end.code) == (produced, 0)
        [gap] = session.output.omitted()
        for at, data in session.output.blocks(session.output.spans(0, produced)):
            assert data == counted(at, len(data))
        assert disk(session.folder) <= 13 * MIB
        assert gap.start == MIB

    house.run(act)


@pytest.mark.parametrize(
    ("size", "cap"),
    [(256 * MIB, 16 * MIB), pytest.param(2048 * MIB, 1 << 40, marks=pytest.mark.soak)],
    ids=["256 MiB capped", "2 GiB kept"],
)
def test_a_flood_costs_neither_keeper_nor_gateway_memory(house: House, size: int, cap: int) -> None:
    """Supervisor, zygote and we grow by less than 32 MiB each, and head, tail and middle can be read."""

    async def act(table: Sessions) -> None:
        command = f"read go; yes | head -c {size}; read end"
        session = await table.start(spec(table, command, output_cap=cap, stdin="pipe"))
        watched = [supervisor_of(session), house.keeper_pid, "self"]
        before = [rss(pid) for pid in watched]
        await table.write(session, b"go\n")
        await printed(table, session, size)
        out = session.output
        assert out.read(0, 6) == b"y\ny\ny\n"
        assert out.tail(4) == (size - 4, b"y\ny\n")
        assert out.lines(None, 200).text == b"y\n" * 200
        assert out.read(size - 8 * MIB, size - 8 * MIB + 4) == b"y\ny\n"
        assert out.read(size // 2, size // 2 + 2) == (b"" if cap < size else b"y\n")
        grown = [peak(pid) - old for pid, old in zip(watched, before, strict=True)]
        assert max(grown[:2]) < 32 * MIB
        assert rss("self") - before[2] < 32 * MIB
        await table.write(session, b"end\n")
        await within(table.until_drained(session))
        assert session.end.produced == size

    house.run(act, timeout=300)
