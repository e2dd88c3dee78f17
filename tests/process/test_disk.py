"""A disk that is full: the command is not disturbed, what was lost is said, and everything else goes on."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from process_faults import kill9, numbers, printed, supervisor_of, until, within

from houses import House, ended, spec, text
from outlast.core.errors import GatewayTrouble
from outlast.core.session import Cause, Span, Status
from outlast.process.keeper import record as records
from outlast.process.session import Session
from outlast.process.sessions import Sessions

MIB = 1 << 20
SIZE = 12 * MIB
FIRST = 100_000_000_000_000


def counted(start: int, size: int) -> bytes:
    """What `seq FIRST …` prints from byte ``start`` on: 16 bytes a line."""
    first, last = start // 16, (start + size) // 16 + 1
    return b"".join(b"%d\n" % (FIRST + i) for i in range(first, last))[start - first * 16 :][:size]


def flood(size: int, at: int = 0) -> str:
    """A command that prints bytes ``at`` to ``at + size`` of the count."""
    return f"seq {FIRST + at // 16} {FIRST + (at + size) // 16 - 1}"


@pytest.fixture
def tight(house: House) -> Iterator[House]:
    """A home on a small file system of its own."""
    options = f"size={SIZE},mode=0700"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "outlast-test", house.home], capture_output=True)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield house
    house.close()
    subprocess.run(["umount", "-l", house.home], check=True)


def fill(house: House, leave: int = 0) -> Path:
    """Take all the room there is, but for ``leave`` bytes, and return the file that has it."""
    ballast = Path(house.home, "ballast")
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        except OSError:
            pass
    with ballast.open("r+b") as file:
        file.truncate(max(0, ballast.stat().st_size // 4096 * 4096 - leave))
    return ballast


def honest(session: Session) -> list[Span]:
    """Check every byte that can be read against the count, and return what is missing."""
    for at, data in session.output.blocks(session.output.spans(0, session.produced)):
        assert data == counted(at, len(data))
    return session.output.omitted()


def test_a_command_that_floods_the_disk_ends_as_itself_and_its_loss_is_told(tight: House) -> None:
    """Its own exit code, the beginning of its output, the lost range and why; and other sessions do not notice.

    A gateway that opens on the full disk answers all the same, and starts commands once there is room.
    """

    async def act(table: Sessions) -> None:
        other = await table.start(spec(table, "read line; exit 3", stdin="pipe"))
        session = await within(ended(table, f"{flood(32 * MIB)}; exit 7"))
        assert (session.status, session.end.cause, session.end.code) == (Status.FAILED, Cause.EXIT, 7)
        assert session.produced == 32 * MIB
        gaps = honest(session)
        assert gaps[-1].end == 32 * MIB
        assert session.output.kept() >= SIZE // 2
        assert session.output.read(0, MIB) == counted(0, MIB)
        assert session.output.lost_errno == "ENOSPC"
        line = records.read(session.folder)["exit"]
        assert (line["code"], line["produced"], line["lost_errno"]) == (7, 32 * MIB, "ENOSPC")
        assert line["lost"][-1][1] == 32 * MIB
        assert [s.id for s in table.live()] == [other.id]
        assert (await table.probe(other)).processes == 1
        await table.write(other, b"go\n")
        await within(table.until_drained(other))
        assert other.end.code == 3

    tight.run(act)

    async def later(table: Sessions) -> None:
        [again] = [s for s in table.ended(limit=9) if s.produced > MIB]
        assert again.end.code == 7
        assert honest(again)[-1].end == 32 * MIB
        assert again.output.lost_errno == "ENOSPC"
        with pytest.raises(GatewayTrouble):
            await within(table.start(spec(table, "true")))
        await table.remove(again)
        assert (await within(ended(table, "exit 3"))).end.code == 3

    tight.run(later)


def test_a_start_on_a_full_disk_is_refused_clearly_and_works_again_with_room(tight: House, tmp_path: Path) -> None:
    """Nothing runs that could not be put on record, and nothing of it stays behind; then there is room again."""

    async def act(table: Sessions) -> None:
        before = await ended(table, "echo before")
        ballast = fill(tight)
        ran = tmp_path / "ran"  # on another disk: there is room for it
        for _ in range(5):
            with pytest.raises(GatewayTrouble) as error:
                await within(table.start(spec(table, f"touch {ran}")))
            assert error.value.code == "disk_full"
            assert "No space left" in error.value.message
        assert not ran.exists()
        assert os.listdir(f"{tight.home}/sessions") == [before.id]
        assert os.listdir(f"{tight.home}/open") == []
        assert [s.id for s in table.ended(limit=9)] == [before.id]
        assert text(table.get(before.id)) == "before\n"
        ballast.unlink()
        after = await within(ended(table, "echo after; exit 4"))
        assert (text(after), after.end.code) == ("after\n", 4)

    tight.run(act)


def test_output_goes_on_at_its_true_offset_when_there_is_room_again(tight: House) -> None:
    """Full in the middle: while the command still runs a reader gets no zeros for what was lost, and then the rest."""

    async def act(table: Sessions) -> None:
        ballast = fill(tight, leave=4 * MIB)
        command = f"{flood(8 * MIB)}; read go; {flood(MIB, 8 * MIB)}; read go; exit 5"
        session = await table.start(spec(table, command, stdin="pipe"))
        await printed(table, session, 8 * MIB)
        [gap] = honest(session)
        assert gap.end == 8 * MIB
        ballast.unlink()
        await table.write(session, b"go\n")
        await until(lambda: os.stat(f"{session.folder}/out").st_size == 9 * MIB)
        assert (session.end, honest(session)) == (None, [gap])
        assert session.output.read(8 * MIB, 9 * MIB) == counted(8 * MIB, MIB)
        assert session.output.lost_errno == "ENOSPC"
        await table.write(session, b"go\n")
        await within(table.until_drained(session))
        assert (session.end.code, session.produced, honest(session)) == (5, 9 * MIB, [gap])

    tight.run(act)


def test_a_take_over_on_a_full_disk_keeps_offsets_and_the_loss(tight: House) -> None:
    """The killed supervisor had noted what it lost; the next one goes on behind it."""

    async def act(table: Sessions) -> None:
        ballast = fill(tight, leave=4 * MIB)
        command = f"{flood(8 * MIB)}; read go; {flood(MIB, 8 * MIB)}; exit 5"
        session = await table.start(spec(table, command, stdin="pipe"))
        await printed(table, session, 8 * MIB)
        link = session.link
        kill9(supervisor_of(session))
        await until(lambda: session.link not in (None, link))
        [gap] = honest(session)
        ballast.unlink()
        await table.write(session, b"go\n")
        await within(table.until_drained(session))
        assert (session.end.code, session.produced, honest(session)) == (5, 9 * MIB, [gap])

    tight.run(act)


def test_the_cap_frees_room_for_the_newest_output_of_a_long_flood(tight: House) -> None:
    """A cap below the size of the disk: the flood never loses anything, it only drops its middle."""

    async def act(table: Sessions) -> None:
        session = await within(ended(table, f"{flood(40 * MIB)}; exit 7", output_cap=2 * MIB))
        assert (session.end.code, session.produced) == (7, 40 * MIB)
        [gap] = honest(session)
        assert gap.start == MIB
        assert session.output.lost_errno is None
        assert session.output.read(gap.end, 40 * MIB) == counted(gap.end, 40 * MIB - gap.end)

    tight.run(act)


def test_the_first_bytes_of_a_command_on_a_full_disk_may_be_lost_and_are_said_to_be(tight: House) -> None:
    """Room for the record and not for the output: the command ends as itself; nothing is shown as zeros."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "read go; seq 1000; exit 6", stdin="pipe"))
        ballast = fill(tight)
        await table.write(session, b"go\n")
        await within(table.until_drained(session))
        whole = "".join(f"{i}\n" for i in range(1, 1001)).encode()
        assert (session.end.code, session.produced) == (6, len(whole))
        [gap] = session.output.omitted()
        assert gap.end == len(whole)
        assert session.output.read(0, len(whole)) == whole[: gap.start]
        ballast.unlink()
        assert numbers(await ended(table, "seq 3")) == ["1", "2", "3"]

    tight.run(act)


def test_an_end_is_told_once_also_when_the_disk_has_no_room_to_note_it(tight: House) -> None:
    """The note that an end was told takes no block: the next gateway does not tell it again."""
    told: list[str] = []

    async def main(first: bool) -> None:
        table = tight.table()
        table.on_event(lambda kind, s: told.append(kind))
        await table.open()
        if first:
            session = await table.start(spec(table, "read go; sleep 300 & exit 5", stdin="pipe"))
            fill(tight)
            await table.write(session, b"go\n")
            await within(table.until_end(session))
            assert session.leftovers == 1
        await table.close()

    asyncio.run(main(True))
    Path(tight.home, "ballast").unlink()
    asyncio.run(main(False))
    assert told == ["started", "ended"]
