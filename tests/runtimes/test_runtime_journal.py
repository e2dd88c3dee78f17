"""Reading journals: whole lines of the standard output, wherever other output stands between, a piece at a time."""

from __future__ import annotations

from houses import House, spec
from outlast.process.sessions import Sessions
from outlast.runtimes.journal import READ_MAX, Journal, last_words, state_of


def journal_of(house: House, command: str) -> tuple[Journal, list[tuple[int, str]], str]:
    """Run a command that plays the runner; return its journal, the lines it had, its last words."""

    async def act(table: Sessions) -> tuple[Journal, list[tuple[int, str]], str]:
        session = await table.start(spec(table, command, streams="apart"))
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
