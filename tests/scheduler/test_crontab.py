"""Crontabs in and out: read as cron reads them, written so that they come back, and harmless whatever is in them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from spending import at_most

from outlast.core.errors import BadInput
from outlast.core.schedule import CommandPayload, EventPayload, Kind, Misfire, Overlap, Schedule
from outlast.scheduler.crontab import (
    ENTRIES_MAX,
    LINE_MAX,
    REFUSED_MAX,
    TEXT_MAX,
    Crontab,
    Entry,
    parse_crontab,
    settings_of,
)
from outlast.scheduler.crontab_export import entry_of, format_crontab

TABLE = """\
# The night of the database.
# Ask Ann before you move it.

MAILTO=ops@example.org
PATH=/usr/local/bin:/usr/bin

# backup first
30 2 * * *\t./backup.sh --full
CRON_TZ=Europe/London
SHELL=/bin/bash
# mail the report
# to everybody
0 9 * * mon-fri  mail -s "Report \\%d" all%Dear all,%%it is done.%
@hourly cd /srv/app && ./sync

# the end
"""


def one(text: str) -> Entry:
    table = parse_crontab(text)
    assert table.refused == ()
    (entry,) = table.entries
    return entry


def refusal(text: str) -> str:
    table = parse_crontab(text)
    assert table.entries == ()
    (line,) = table.refused
    return line.reason


# --- in


def test_a_table_is_read_with_everything_that_holds_for_each_entry() -> None:
    table = parse_crontab(TABLE)
    env = {"PATH": "/usr/local/bin:/usr/bin"}
    backup = Entry(
        expr="30 2 * * *",
        command="./backup.sh --full",
        name="backup",
        env=env,
        mailto="ops@example.org",
        comment="The night of the database.\nAsk Ann before you move it.\n\nbackup first",
        line=8,
    )
    report = Entry(
        expr="0 9 * * mon-fri",
        command='mail -s "Report %d" all',
        name="mail",
        stdin="Dear all,\n\nit is done.\n",
        tz="Europe/London",
        shell="/bin/bash",
        env=env,
        mailto="ops@example.org",
        comment="mail the report\nto everybody",
        line=13,
    )
    sync = msgspec.structs.replace(
        report, expr="@hourly", command="cd /srv/app && ./sync", name="sync", stdin=None, comment="", line=14
    )
    assert table == Crontab(
        entries=(backup, report, sync),
        notes=("line 4: MAILTO=ops@example.org is noted only; to tell somebody give a channel",),
        trailer="the end",
    )


@pytest.mark.parametrize(
    ("line", "command", "stdin"),
    [
        ("* * * * * date +\\%F", "date +%F", None),
        ("* * * * * cat%a%b", "cat", "a\nb\n"),
        ("* * * * * cat%", "cat", ""),
        ("* * * * * cat%a\\%b%", "cat", "a%b\n"),
        ("* * * * * cat%%", "cat", "\n"),
        ("* * * * * echo a\\\\%b", "echo a\\%b", None),
        ("* * * * * echo 'a\\nb'", "echo 'a\\nb'", None),
        ("  *\t*  * * *   sleep 1  ", "sleep 1  ", None),
        ("* * * * * FOO=bar ./run", "FOO=bar ./run", None),
        ("* * * * * true # not a comment", "true # not a comment", None),
    ],
)
def test_percent_signs_and_blanks_are_read_as_cron_reads_them(line: str, command: str, stdin: str | None) -> None:
    entry = one(line + "\n")
    assert (entry.command, entry.stdin) == (command, stdin)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b c", "b c"),
        ("A = b", "b"),
        ("A=", ""),
        ('A=""', ""),
        ("A='  b '", "  b "),
        ('"A"="b"', "b"),
        ("A=$HOME/b", "$HOME/b"),
        ("A=b # c", "b # c"),
        ("A=b=c", "b=c"),
        ('A=b "c"', 'b "c"'),
    ],
)
def test_settings_are_read_as_cron_reads_them(line: str, value: str) -> None:
    """Nothing is expanded, and nothing after the value is a comment."""
    assert one(f"{line}\n* * * * * true\n").env == {"A": value}


def test_settings_hold_for_the_entries_below_them_only() -> None:
    table = parse_crontab("* * * * * one\nA=1\n* * * * * two\nA=2\nB=3\nCRON_TZ=Asia/Kolkata\n@daily three\n")
    assert [entry.env for entry in table.entries] == [{}, {"A": "1"}, {"A": "2", "B": "3"}]
    assert [entry.tz for entry in table.entries] == [None, None, "Asia/Kolkata"]


def test_tz_moves_no_hours_and_says_so() -> None:
    table = parse_crontab("TZ=Asia/Kolkata\n@daily true\n")
    assert (table.entries[0].tz, table.entries[0].env) == (None, {"TZ": "Asia/Kolkata"})
    assert "CRON_TZ" in table.notes[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0 31 2 * never", "never comes"),
        ("61 * * * * true", "no minute"),
        ("@reboot ./start", "names no moment"),
        ("@often ./start", "no cron expression"),
        ("* * * * *", "five fields and a command"),
        ("* * * * * ", "five fields and a command"),
        ("@daily", "five fields and a command"),
        ("@daily %input only", "has no command"),
        ("0 0 2 * * * ./with-seconds", "more than five fields"),
        ("0 0 2 * 1 5 ./with-seconds", "more than five fields"),
        ("-*/5 * * * * quiet", "no minute"),
        ("rm -rf /", "five fields and a command"),
        ("A-B=c", "neither an entry nor a setting"),
        ("A='b", "quote"),
        ("A='b' c", "quote"),
        ("SHELL=bash", "full path"),
        ("CRON_TZ=Mars/Olympus", "not a time zone"),
        ("* * * * * printf '\x1b[31m'", "control character"),
        ("* * * * * echo \u202egnp.exe", "control character"),
        ("* * * * * a\0b", "control character"),
        ("* * * * * a\x0bb", "control character"),
        ("A=b\x7fc", "control character"),
        ("* * * * * " + "x" * LINE_MAX, "longer than"),
    ],
)
def test_a_wrong_line_is_refused_with_the_reason(line: str, reason: str) -> None:
    assert reason in refusal(line)


def test_a_wrong_line_harms_no_other_and_loses_no_comment() -> None:
    table = parse_crontab("@daily one\n# about two\n@reboot two\n# about three\n@daily three\n")
    assert [(entry.command, entry.comment) for entry in table.entries] == [
        ("one", ""),
        ("three", "about two\nabout three"),
    ]
    assert [(line.line, line.text) for line in table.refused] == [(3, "'@reboot two'")]


def test_entries_below_a_wrong_zone_or_shell_are_refused_until_it_is_mended() -> None:
    """They would run at other hours, or by another shell, than the table says."""
    zone = "CRON_TZ=Mars/Olympus\n@daily one\nCRON_TZ=UTC\n@daily two\n"
    table = parse_crontab(zone + "SHELL=bash\n@daily three\nSHELL=/bin/bash\n@daily four\n")
    assert [entry.command for entry in table.entries] == ["two", "four"]
    assert [line.line for line in table.refused] == [1, 2, 5, 6]


def test_line_ends_of_other_systems_and_a_missing_last_one() -> None:
    assert [entry.command for entry in parse_crontab("@daily one\r\n@daily two").entries] == ["one", "two"]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("./backup.sh --full", "backup"),
        ("cd /srv && ./sync.py", "sync"),
        ("/usr/bin/env FOO=1 bash -c 'x'", "FOO"),
        ("/usr/local/bin/certbot renew -q", "certbot"),
        ("[ -x /usr/bin/x ] && y", "x"),
        ("$(; |)", "entry"),
        ("-- ...", "entry"),
        ("ÄÖÜ", "entry"),
    ],
)
def test_entries_get_a_name_from_their_command(command: str, name: str) -> None:
    assert one(f"@daily {command}\n").name == name


def test_names_are_unique() -> None:
    table = parse_crontab("@daily sync\n" * 3 + "# outlast: name=sync\n@daily other\n")
    assert [entry.name for entry in table.entries] == ["sync", "sync-2", "sync-3", "sync-4"]


def test_what_a_crontab_has_no_words_for_is_carried_by_a_comment() -> None:
    entry = one("# outlast: name=night misfire=all:3 overlap=queue jitter=300.000 retry=2 timeout=3600\n@daily ./run\n")
    fields = settings_of(entry)
    assert (fields["name"], fields["misfire"], fields["misfire_max"]) == ("night", Misfire.ALL, 3)
    assert (fields["overlap"], fields["jitter_seconds"]) == (Overlap.QUEUE, 300.0)
    assert (fields["retries"], fields["timeout_seconds"]) == (2, 3600.0)
    assert fields["comment"] is None


def test_such_a_comment_that_is_wrong_is_told_and_left_out() -> None:
    table = parse_crontab("# outlast: name=-x misfire=never color=red overlap=queue\n@daily ./run\n")
    assert (table.entries[0].name, table.entries[0].options) == ("run", {"overlap": "queue"})
    assert len(table.notes) == 3


def test_a_command_runs_by_the_shell_of_the_table() -> None:
    """bash or zsh for a line that was written for sh would split words differently."""
    assert settings_of(one("@daily ./run $A\n"))["payload"].argv == ("/bin/sh", "-c", "./run $A")
    assert settings_of(one("SHELL=/bin/bash\n@daily ./run\n"))["payload"].argv[0] == "/bin/bash"
    assert "MAILTO=a@b" in settings_of(one("MAILTO=a@b\n@daily ./run\n"))["comment"]


# --- bounds


def test_tables_are_bounded() -> None:
    with pytest.raises(BadInput, match="longer"):
        parse_crontab("#" * (TEXT_MAX + 1))
    with pytest.raises(BadInput, match="lines are wrong"):
        parse_crontab("garbage\n" * (REFUSED_MAX + 1))
    table = parse_crontab("@daily a\n" * (ENTRIES_MAX + 3))
    assert (len(table.entries), len(table.refused)) == (ENTRIES_MAX, 3)
    assert len(parse_crontab("".join(f"A{n}=1\n" for n in range(210))).refused) == 10


@pytest.mark.parametrize(
    "text",
    [
        "x" * TEXT_MAX,
        "# " + "y" * (TEXT_MAX - 2),
        "CRON_TZ=Nowhere\n" * 60_000,
        "A=1\n@daily x\n" * 70_000,
        "# outlast:" + " a=b" * 2000 + "x\n",
        "#\n" * 500_000,
        "*" * 8000 + "\n",
        "=" * 8000 + "\n",
        "\"'" * 4000 + "=\n",
    ],
)
def test_no_table_takes_long(text: str) -> None:
    def parsed() -> None:
        with suppress(BadInput):
            parse_crontab(text[:TEXT_MAX])

    assert at_most(3, parsed)


LINES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(TABLE.splitlines()),
    st.from_regex(r"[0-9*/ ]{0,12}[a-z%\\='\" ]{0,12}", fullmatch=True),
    st.from_regex(r"(CRON_TZ|SHELL|MAILTO|A)[ =]{1,3}['\"/A-Za-z]{0,9}", fullmatch=True),
)


@given(st.lists(LINES, max_size=12).map("\n".join))
@settings(max_examples=300)
def test_any_text_is_read_and_what_was_read_comes_back(text: str) -> None:
    """Never an error for a small text; written and read again, the same entries stand in it, with their comments."""
    table = parse_crontab(text)
    again = parse_crontab(format_crontab(table.entries, table.trailer))
    assert again.refused == ()
    assert [bare(entry) for entry in again.entries] == [bare(entry) for entry in table.entries]
    assert again.trailer.split() == table.trailer.split()


def bare(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, line=0, expr=" ".join(entry.expr.split()))


# --- out


def schedule(**fields: Any) -> Schedule:
    given_fields: dict[str, Any] = {
        "id": "s1",
        "name": "backup",
        "requester": "local",
        "created_at": 0.0,
        "updated_at": 0.0,
        "kind": Kind.CRON,
        "expr": "30 2 * * *",
        "payload": CommandPayload(command="./backup.sh"),
    }
    return Schedule(**(given_fields | fields))


def test_a_schedule_is_written_as_it_runs() -> None:
    row = schedule(
        tz="Europe/London",
        comment="backup first\n\nask Ann",
        misfire=Misfire.ALL,
        misfire_max=3,
        payload=CommandPayload(argv=("/bin/bash", "-c", "date +%F"), env={"A": " b"}, stdin="x\ny\n"),
    )
    text = format_crontab([entry_of(row)])
    assert text == (
        "# backup first\n#\n# ask Ann\n# outlast: name=backup misfire=all:3\n"
        'CRON_TZ=Europe/London\nSHELL=/bin/bash\nA=" b"\n30 2 * * * date +\\%F%x%y\n'
    )
    fields = settings_of(one(text))
    assert Schedule(**(msgspec.structs.asdict(row) | fields)) == row


def test_a_table_keeps_its_comments_over_import_and_export() -> None:
    table = parse_crontab(TABLE)
    rows = [schedule(**({"tz": "UTC"} | settings_of(entry))) for entry in table.entries]
    text = format_crontab([entry_of(row) for row in rows], table.trailer)
    for line in TABLE.splitlines():
        if line.startswith("#"):
            assert line in text.splitlines()
    assert [entry.command for entry in parse_crontab(text).entries] == [entry.command for entry in table.entries]


def test_settings_of_one_entry_do_not_reach_the_next() -> None:
    """A crontab cannot take a setting back, so the command does."""
    rows = [
        schedule(name="one", payload=CommandPayload(command="one", env={"A": "1", "B": "2"})),
        schedule(name="two", payload=CommandPayload(command="two", env={"B": "3"})),
    ]
    table = parse_crontab(format_crontab(map(entry_of, rows)))
    assert table.entries[1].command == "unset A; two"
    assert table.entries[1].env == {"A": "1", "B": "3"}


def test_a_zone_or_shell_is_taken_back_for_the_next_entry() -> None:
    entries = (
        Entry(expr="@daily", command="one", name="one", tz="Asia/Kolkata", shell="/bin/bash"),
        Entry(expr="@daily", command="two", name="two"),
    )
    again = parse_crontab(format_crontab(entries)).entries
    assert (again[1].tz, again[1].shell) == (None, None)


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (CommandPayload(argv=("ls", "-l", "a b")), "ls -l 'a b'"),
        (CommandPayload(command="ls; pwd", workdir="/tmp/a b"), "cd '/tmp/a b' || exit; ls; pwd"),
        (CommandPayload(argv=("/bin/zsh", "-c", "pwd"), workdir="/tmp"), "cd /tmp || exit; pwd"),
    ],
)
def test_words_and_a_directory_become_a_line_that_does_the_same(payload: CommandPayload, line: str) -> None:
    entry = entry_of(schedule(payload=payload))
    assert entry.command == line
    assert parse_crontab(format_crontab([entry])).entries[0].command == line


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": Kind.EVERY, "expr": "60"},
        {"expr": "0 30 2 * * *"},
        {"payload": EventPayload(conversation="agent:a:main", text="hello")},
    ],
)
def test_what_a_crontab_cannot_say_is_refused_with_the_reason(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="a crontab") as caught:
        entry_of(schedule(**fields))
    assert caught.value.code == "no_crontab"


@pytest.mark.parametrize(
    "fields",
    [
        {"command": "true\n* * * * * reboot"},
        {"command": "true\r* * * * * reboot"},
        {"command": "true", "stdin": "no end of line"},
        {"command": "true\\", "stdin": "a\n"},
        {"command": "true", "stdin": "a\\\nb\n"},
        {"command": "* reboot"},
        {"command": ""},
        {"command": " "},
        {"command": "true", "env": {"A": "1\n* * * * * reboot"}},
        {"command": "true", "env": {"A": "\"'"}},
        {"command": "true", "env": {"A=1\n* * * * * reboot #": "1"}},
        {"command": "true", "env": {"MAILTO": "x"}},
        {"command": "\x1b]0;x\x07"},
        {"command": "x" * LINE_MAX},
        {"command": "true", "name": "x\n* * * * * reboot"},
        {"command": "true", "options": {"misfire": "x\n* * * * * reboot"}},
        {"command": "true", "mailto": "x\n* * * * * reboot"},
        {"command": "true", "tz": "x\n* * * * * reboot"},
    ],
)
def test_hostile_schedules_become_comments(fields: dict[str, Any]) -> None:
    """Whatever is in a record, the table that is written runs nothing else and shows no control characters."""
    text = format_crontab(
        [Entry(**({"expr": "@daily", "name": "evil", "comment": "a\n* * * * * reboot\x1b[0m"} | fields))]
    )
    assert all(line.startswith("#") or not line for line in text.split("\n"))
    assert not set(text) & {chr(code) for code in range(32) if code != 10}
    assert "not written" in text
    assert parse_crontab(text).entries == ()


def test_schedules_that_cannot_be_said_are_named_with_the_reason() -> None:
    assert format_crontab([], unsaid={"hourly\nx": "a crontab\nhas no seconds"}) == (
        "# 'hourly\\nx' is not written: a crontab\n# has no seconds\n"
    )


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    command=TEXTS,
    stdin=st.none() | TEXTS | st.text("ab%\\\n", max_size=8),
    env=st.dictionaries(TEXTS | st.sampled_from(["A", "B", "PATH"]), TEXTS, max_size=3),
    comment=TEXTS,
    before=st.dictionaries(st.sampled_from(["A", "B"]), st.just("1")),
)
@settings(max_examples=400)
def test_what_is_written_comes_back_the_same(
    command: str, stdin: str | None, env: dict[str, str], comment: str, before: dict[str, str]
) -> None:
    """Either as a comment, or as an entry that runs the very same command with the same input and variables."""
    assume("outlast:" not in comment)
    first = Entry(expr="@daily", command="first", name="first", env=before)
    entry = Entry(expr="30 2 * * *", command=command, stdin=stdin, env=env, name="second", comment=comment)
    table = parse_crontab(format_crontab([first, entry]))
    assert table.refused == ()
    assert len(table.entries) in (1, 2)
    assert bare(table.entries[0]) == bare(first)
    if len(table.entries) == 2:
        found = table.entries[1]
        gone = "".join(
            f"unset {' '.join(sorted(before.keys() - env.keys()))}; " for _ in range(bool(before.keys() - env.keys()))
        )
        assert (found.command, found.stdin) == (gone + command, stdin)
        assert found.env == before | env
