"""The spool and the reading side against a simple model: every byte at its offset, or said to be missing."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outlast.core.errors import BadInput
from outlast.core.session import Span
from outlast.process import output as output_module
from outlast.process.keeper import libc, spool
from outlast.process.keeper.spool import Spool
from outlast.process.output import Output

BLOCK = 4096
HEAD = 2 * BLOCK
STEP = 4 * BLOCK


@contextmanager
def small(**more: int) -> Iterator[None]:
    """Shrink the spool's sizes, so that short outputs meet every border."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_BLOCK": BLOCK, "HEAD": HEAD, "STEP": STEP, **more}.items():
            patch.setattr(spool, name, value)
        yield


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


def noise(size: int, seed: int) -> bytes:
    """Bytes without a zero, so that a hole can never pass for output."""
    return random.Random(seed).randbytes(size).replace(b"\0", b"\n")


class Disk:
    """Stands in for the system calls of the spool, and can be full for the output, for the notes, or for both."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.full: tuple[str, ...] = ()
        self._pwrite, self._open = os.pwrite, os.open
        patch.setattr(spool.os, "pwrite", self.pwrite)
        patch.setattr(spool.os, "open", self.open)

    def pwrite(self, fd: int, data: bytes, at: int) -> int:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        if name not in self.full:
            return self._pwrite(fd, data, at)
        room = 3000 - at % 3000
        if name == "out" and room < len(data) and at < 3000:
            return self._pwrite(fd, data[:room], at)  # the last bytes that still fit
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open(self, path: str, flags: int, *rest: int) -> int:
        if os.path.basename(path) in self.full and not os.path.exists(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return self._open(path, flags, *rest)


class Model:
    """What a session's output must look like: all bytes, the stream of each, and whether it found room."""

    def __init__(self) -> None:
        self.data = b""
        self.streams: list[int] = []
        self.kept: list[bool] = []

    def add(self, stream: int, data: bytes) -> None:
        self.data += data
        self.streams += [stream] * len(data)
        self.kept += [True] * len(data)

    def check(self, out: Output, start: int, end: int, *, streams: bool) -> None:
        """Compare a range: bytes are right, none is a hole, and what is missing is named."""
        pieces = list(out.pieces(start, end, 1000))
        assert b"".join(piece for _, _, piece in pieces) == out.read(start, end)
        missing = {i for span in out.omitted_in(start, end) for i in range(span.start, span.end)}
        at = start
        for offset, stream, piece in pieces:
            assert set(range(at, offset)) <= missing
            assert piece == self.data[offset : offset + len(piece)]
            assert missing.isdisjoint(range(offset, offset + len(piece)))
            if streams:
                assert set(self.streams[offset : offset + len(piece)]) == {stream}
            at = offset + len(piece)
        assert set(range(at, min(end, len(self.data)))) <= missing


WRITES = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 3 * STEP), st.booleans()), min_size=1, max_size=25
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(writes=WRITES, cap=st.integers(1, 20 * BLOCK), punch=st.booleans(), seed=st.integers(0, 999))
def test_whatever_is_written_is_read_back_or_named_as_dropped(
    writes: list[tuple[int, int, bool]], cap: int, punch: bool, seed: int
) -> None:
    """Random pieces of both streams, any cap, a supervisor killed now and then, with and without hole punching."""
    with small(), tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if not punch:
            patch.setattr(libc, "punch", unsupported)
        model, reader, writer = Model(), Output(folder), Spool(folder, cap)
        for stream, size, killed in writes:
            data = noise(size, seed + len(model.data))
            writer.append(stream, memoryview(data))
            model.add(stream, data)
            if killed:
                writer = killed_and_resumed(writer, folder, cap)
            reader.learn(writer.report())
            total = len(model.data)
            assert reader.produced == total
            model.check(reader, 0, total, streams=True)
            model.check(reader, total // 3, total // 2, streams=True)
            bound = cap + STEP + BLOCK
            assert os.stat(f"{folder}/out").st_blocks * 512 <= bound + BLOCK
            head = min(HEAD, cap // 2 // BLOCK * BLOCK)
            assert reader.read(0, min(head, total)) == model.data[:head]
            start, newest = reader.tail(max(0, cap - head) if punch else 0)
            assert newest == model.data[start:]
            assert len(newest) >= min(total - min(total, head), cap - head if punch else 0)
        writer.close()
        model.check(reader, 0, len(model.data), streams=True)


def killed_and_resumed(writer: Spool, folder: str, cap: int) -> Spool:
    """What a killed supervisor held is closed by the kernel; another goes on from the files."""
    for fd in (writer._fd, writer._seg_fd, writer._gaps_fd):
        if fd >= 0:
            os.close(fd)
    return Spool(folder, cap)


def unsupported(*_: int) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


@settings(max_examples=40, deadline=None)
@given(
    writes=st.lists(
        st.tuples(
            st.integers(1, 2),
            st.integers(1, STEP),
            st.sampled_from([(), ("out",), ("out", "gaps"), ("out", "gaps", "seg")]),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    ),
    cap=st.integers(4 * BLOCK, 40 * BLOCK),
)
@example(writes=[(1, 10, (), False), (1, 10, ("out", "gaps"), False), (1, 10, (), False)], cap=1 << 20)
@example(writes=[(1, 10, (), False), (1, 10, ("out",), True), (1, 10, (), True)], cap=1 << 20)
def test_a_disk_that_fills_and_empties_never_turns_output_into_zeros(
    writes: list[tuple[int, int, tuple[str, ...], bool]], cap: int
) -> None:
    """At every moment a reader gets true bytes, and every other byte below what the file holds is named."""
    with small(), tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        model, writer = Model(), Spool(folder, cap)
        streams = True
        for stream, size, full, killed in writes:
            disk.full = full
            streams = streams and "seg" not in full
            data = noise(size, len(model.data))
            writer.append(stream, memoryview(data))
            model.add(stream, data)
            model.check(Output(folder), 0, Output(folder).produced, streams=streams)
            if killed and writer._told:
                writer = killed_and_resumed(writer, folder, cap)
                assert writer.produced == len(model.data)
        reader = Output(folder)
        reader.learn(writer.report())
        assert reader.produced == len(model.data)
        model.check(reader, 0, len(model.data), streams=streams)
        assert (reader.lost_errno == "ENOSPC") == any(full for *_, full, _ in writes)
        writer.close()
        model.check(reader, 0, len(model.data), streams=streams)


def test_lost_ranges_stay_few(folder: str) -> None:
    """A disk on the edge loses hundreds of pieces: the nearest are told as one, and nothing wrong is read."""
    with small(), pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        model, writer = Model(), Spool(folder, 1 << 30)
        for turn in range(300):
            disk.full = ("out",) if turn % 2 else ()
            data = noise(100 + turn, turn)
            writer.append(1, memoryview(data))
            model.add(1, data)
        report = writer.report()
        assert len(report["lost"]) == spool.LOST_MAX
        assert os.stat(f"{folder}/gaps").st_size < 4096  # rewriting it never needs a new block
        model.check(Output(folder), 0, len(model.data), streams=False)
        writer.close()


def test_stream_changes_beyond_the_limit_cost_nothing_but_the_colour(folder: str) -> None:
    """After half a million changes the streams are not told apart any more; the bytes are all there."""
    with small(SEG_MAX=80):
        writer = Spool(folder, 1 << 20)
        for turn in range(100):
            writer.append(1 + turn % 2, memoryview(b"%02d\n" % turn))
        writer.close()
        assert os.stat(f"{folder}/seg").st_size == 80
        assert Output(folder).read(0, 300) == b"".join(b"%02d\n" % turn for turn in range(100))


# ---- lines

TEXT = st.lists(st.tuples(st.integers(1, 2), st.text("ab\n", max_size=30)), max_size=12)


def written(folder: str, pieces: list[tuple[int, str]], gap: Span | None) -> tuple[Output, list[tuple[int, int, int]]]:
    """Write pieces, punch an imagined gap, and return the kept bytes as (offset, stream, byte)."""
    writer, kept = Spool(folder, 1 << 30), []
    for stream, text in pieces:
        if text:
            at = writer.produced
            writer.append(stream, memoryview(text.encode()))
            kept += [(at + i, stream, byte) for i, byte in enumerate(text.encode())]
    writer.close()
    out = Output(folder)
    if gap is not None:
        out.learn({"lost": [[gap.start, gap.end]]})
        kept = [row for row in kept if not gap.start <= row[0] < gap.end]
    return out, kept


@settings(max_examples=150, deadline=None)
@given(
    pieces=TEXT,
    gap=st.none() | st.builds(lambda a, b: Span(a, a + b), st.integers(0, 60), st.integers(1, 60)),
    stream=st.sampled_from([None, 1, 2]),
    offset=st.none() | st.integers(0, 25),
    limit=st.integers(1, 12),
    page=st.sampled_from([5, 16, 10_000]),
)
def test_pages_of_lines_match_the_model(
    pieces: list[tuple[int, str]], gap: Span | None, stream: int | None, offset: int | None, limit: int, page: int
) -> None:
    """First and last lines, by stream, across gaps and block borders, with long lines cut where the page says."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in {"PAGE_MAX": page, "BLOCK": 7, "_STEP_BACK": 5}.items():
            patch.setattr(output_module, name, value)
        out, kept = written(folder, pieces, gap)
        rows = [row for row in kept if stream in (None, row[1])]
        text = bytes(row[2] for row in rows)
        lines = text.splitlines(keepends=True)
        found = out.lines(offset, limit, stream)
        assert found.total == len(lines)
        wanted = lines[-limit:] if offset is None else lines[offset : offset + limit]
        whole = b"".join(wanted)
        if len(whole) <= page:
            assert found.text == whole
        elif offset is None:
            assert found.text == whole[-len(found.text) :]
            assert len(found.text) <= page
        else:
            assert found.text == whole[: len(found.text)]
            assert len(found.text) <= page
        assert found.text or not whole
        assert found.count == len(found.text.splitlines())
        first = len(lines) - found.count if offset is None else offset
        assert found.offset == first
        where = len(b"".join(lines[:first]))
        where = len(text) - len(found.text) if offset is None else where
        if found.text:
            assert found.start == rows[where][0]
            assert found.end == rows[where + len(found.text) - 1][0] + 1


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(st.text("ab", max_size=14), max_size=40), limit=st.integers(1, 50), unended=st.booleans())
def test_paging_forwards_and_backwards_sees_every_line_once(lines: list[str], limit: int, unended: bool) -> None:
    """Pages that are full stop at a line, so that the next page goes on with the next one."""
    text = "".join(line + "\n" for line in lines).encode() + (b"end" if unended else b"")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in {"PAGE_MAX": 20, "BLOCK": 7, "_STEP_BACK": 5}.items():
            patch.setattr(output_module, name, value)
        out, _ = written(folder, [(1, text.decode())], None)
        forwards, at = b"", 0
        while (page := out.lines(at, limit)).count:
            assert page.start == len(forwards)
            forwards += page.text
            assert page.end == len(forwards)
            at += page.count
        assert (forwards, at) == (text, page.total)
        backwards, at = b"", page.total
        while at > 0:
            page = out.lines(max(0, at - 1), 1)
            backwards = page.text + backwards
            at -= 1
        assert backwards == text


def test_lines_of_an_output_too_long_to_count_say_so(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No total and no number of the first line, rather than a scan of gigabytes; the text is right."""
    monkeypatch.setattr(output_module, "COUNT_MAX", 10)
    out, _ = written(folder, [(1, "one\ntwo\nthree\nfour\n")], None)
    page = out.lines(None, 2)
    assert (page.text, page.offset, page.count, page.total) == (b"three\nfour\n", None, 2, None)
    page = out.lines(1, 2)
    assert (page.text, page.offset, page.count, page.total) == (b"two\nthree\n", 1, 2, None)


@pytest.mark.parametrize(("offset", "limit"), [(-1, 5), (0, 0), (None, 0), (None, -1), (0, -1)])
def test_lines_that_cannot_be_are_refused(folder: str, offset: int | None, limit: int) -> None:
    """A negative number or an empty page is bad input, named so."""
    out, _ = written(folder, [(1, "one\n")], None)
    with pytest.raises(BadInput) as error:
        out.lines(offset, limit)
    assert error.value.code == "bad_range"


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2), (5, 5), (5, 9), (0, -1)])
def test_ranges_that_cannot_be_are_refused(folder: str, start: int, end: int) -> None:
    """Backwards, negative, or behind what was produced."""
    out, _ = written(folder, [(1, "one\n")], None)
    for read in (out.read, out.spans, lambda a, b: list(out.pieces(a, b))):
        with pytest.raises(BadInput) as error:
            read(start, end)
        assert error.value.code == "bad_range"


def test_ranges_at_the_edges_are_fine(folder: str) -> None:
    """Empty at the end, cut at the end, and nothing of nothing."""
    out, _ = written(folder, [(1, "one\n")], None)
    assert (out.read(4, 4), out.read(4, 99), out.read(0, 99), out.read(2, 2)) == (b"", b"", b"one\n", b"")
    assert (out.tail(0), out.tail(2), out.tail(99)) == ((4, b""), (2, b"e\n"), (0, b"one\n"))
    empty = Output(f"{folder}/nothing")
    assert (empty.produced, empty.read(0, 5), empty.tail(5), empty.omitted()) == (0, b"", (0, b""), [])
    assert empty.lines(None, 5).count == 0


def test_pruned_output_is_said_to_be_missing(folder: str) -> None:
    """The files are gone and the record knows how much there was: all of it is omitted, and reads are empty."""
    out, _ = written(folder, [(1, "one\n"), (2, "two\n")], None)
    out.learn({"produced": 8})
    for name in ("out", "seg"):
        os.unlink(f"{folder}/{name}")
    assert (out.produced, out.kept(), out.omitted()) == (8, 0, [Span(0, 8)])
    assert (out.read(0, 8), out.tail(8)[1], out.lines(None, 5).text) == (b"", b"", b"")


@pytest.mark.parametrize("junk", [b"", b"\0" * 46 + b"\n", b"x" * 500, b"x y z\n", b"%020d %020d\n" % (5, 9) + b"7 8"])
def test_damaged_notes_of_gaps_do_no_harm(folder: str, junk: bytes) -> None:
    """Whatever stands in the file, reading goes on."""
    out, _ = written(folder, [(1, "0123456789")], None)
    Path(folder, "gaps").write_bytes(junk)
    assert out.read(0, 10) in (b"0123456789", b"012349")
