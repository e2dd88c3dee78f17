"""Reading journals: whole lines of the standard output, wherever other output stands between, a piece at a time."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Any

import pytest

from houses import House, spec
from outlast.process.sessions import Sessions
from outlast.runtimes.journal import READ_MAX, Journal, last_words, state_of


def journal_of(house: House, command: str, **given: Any) -> tuple[Journal, list[tuple[int, str]], str]:
    """Run a command that plays the runner; return its journal, the lines it had, its last words."""

    async def act(table: Sessions) -> tuple[Journal, list[tuple[int, str]], str]:
        session = await table.start(spec(table, command, streams="apart", **given))
        await table.until_drained(session)
        journal = Journal(session.output, 0, lambda: 1.0)
        found: list[tuple[int, str]] = []
        while lines := journal.read():
            found += [(line.end, str(line.event.text)) for line in lines]
        state = state_of(session.output, lambda: 1.0)
        assert (state.end is not None) == any(text == "bye" for _, text in found)
        return journal, found, last_words(session.output)

    return house.run(act)


def event(text: str, ev: str = "text") -> str:
    return f'{{"ev": "{ev}", "at": 1, "text": "{text}"}}'


def test_lines_are_whole_though_other_output_falls_into_them(house: House) -> None:
    first, second = event("one")[:20], event("one")[20:]
    command = (
        f"printf '%s' '{first}'; sleep 0.1; echo noise >&2; sleep 0.1; echo '{second}'; sleep 0.1; echo more >&2; "
        f"sleep 0.1; echo; echo '{event('bye', 'end')}'; printf '%s' '{{\"ev\": \"te'"
    )
    journal, found, last = journal_of(house, command)
    assert [text for _, text in found] == ["one", "bye"]
    assert last == "noise\nmore"
    assert journal.at == found[-1][0]


def test_a_line_without_an_end_is_skipped_and_said_to_be(house: House) -> None:
    """Once for a line, however long it is: 50 MB of it are one note."""
    for size in (2 * READ_MAX + 5, 50_000_000):
        command = f"head -c {size} /dev/zero | tr '\\0' y; echo; echo '{event('after')}'; echo '{event('bye', 'end')}'"
        _, found, last = journal_of(house, command)
        assert [text for _, text in found][1:] == ["after", "bye"] and last == ""
        assert "no event" in found[0][1] and len(found[0][1]) < 300


def test_blanks_longer_than_what_is_read_in_one_go_are_no_end(house: House) -> None:
    command = f"head -c {2 * READ_MAX} /dev/zero | tr '\\0' '\\n'; echo '{event('bye', 'end')}'"
    _, found, _ = journal_of(house, command)
    assert [text for _, text in found] == ["bye"]


def test_a_home_without_output_has_no_lines(house: House) -> None:
    _, found, last = journal_of(house, "true")
    assert (found, last) == ([], "")


MANY = """
import json, sys
for n in range(60_000):
    print(json.dumps({"ev": "text", "at": 1, "text": f"{n} {'x' * 200} {n}"}))
print(json.dumps({"ev": "end", "at": 1, "text": "bye"}))
"""


def test_what_the_disk_did_not_keep_is_said_and_its_edges_make_no_line(house: House) -> None:
    """The middle is gone: the beginning of one line and the end of another are not read as one."""
    journal, found, _ = journal_of(house, shlex.join([sys.executable, "-S", "-c", MANY]), output_cap=1 << 20)
    texts = [text for _, text in found]
    [note] = [text for text in texts if "are missing" in text]
    assert "bytes of the journal are missing" in note and journal.missing() == 0
    assert texts[0].startswith("0 x") and texts[-2].startswith("59999 x") and texts[-1] == "bye"
    for text in texts[:-1]:
        first, _, last = text.partition(f" {'x' * 200} ")
        assert first == last or text == note or "no event" in text, text
    assert [end for end, _ in found] == sorted({end for end, _ in found})


def test_an_end_that_found_no_room_on_the_disk_is_known_to_be_missing(house: House) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M,mode=0700", "outlast-test", house.home])
    if done.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        journal, found, _ = journal_of(house, shlex.join([sys.executable, "-S", "-c", MANY]))
        assert found[0][1].startswith("0 x") and found[-1][1] != "bye"
        assert journal.missing() > 1_000_000
    finally:
        house.close()
        subprocess.run(["umount", "-l", house.home], check=True)
