"""What people and scripts see."""

import io
import json
import os
import threading

import pytest

from outlast.surfaces.cli import output


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_control_characters_are_shown_as_escapes():
    assert output.safe("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"
    assert output.safe("naïve 日本") == "naïve 日本"


def test_tables_line_up():
    text = output.table(("A", "LONGER"), [("xyz", "1"), ("x", "a long last cell")])
    assert text.split("\n") == ["A    LONGER", "xyz  1", "x    a long last cell"]


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals_that_want_them(monkeypatch, variable, coloured):
    monkeypatch.setenv("NO_COLOR", variable)
    assert (output.colour("x", output.RED, Terminal()) != "x") is coloured
    assert output.colour("x", output.RED, io.StringIO()) == "x"


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"status": "succeeded", "exitCode": 0}, 0),
        ({"status": "failed", "exitCode": 7}, 7),
        ({"status": "failed", "exitCode": None, "exitSignal": "SIGSEGV", "cause": "signal"}, 139),
        ({"status": "failed", "exitCode": None, "exitSignal": "SIGRTMIN+1", "cause": "signal"}, 163),
        ({"status": "timed_out", "exitCode": None, "exitSignal": "SIGTERM", "cause": "timeout"}, 124),
        ({"status": "cancelled", "exitCode": None, "exitSignal": "SIGKILL", "cause": "operator"}, 137),
        ({"status": "cancelled", "exitCode": 3, "cause": "operator"}, 3),
        ({"status": "failed", "exitCode": None, "cause": "spawn_error"}, 127),
        ({"status": "lost", "exitCode": None, "cause": "host_restart"}, 125),
    ],
)
def test_exit_codes_are_what_a_shell_would_have_seen(result, code):
    assert output.exit_code(result) == code


def test_ends_in_words():
    killed = {"status": "cancelled", "exitSignal": "SIGTERM", "cause": "operator"}
    assert output.how_it_ended(killed) == "cancelled: signal SIGTERM, operator"
    assert output.how_it_ended({"status": "failed", "exitCode": 7, "cause": "exit"}) == "failed: exit code 7"


def test_bytes_are_written_whole_to_a_pipe_that_does_not_block():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = os.urandom(1_000_000)
    got = bytearray()

    def read():
        while part := os.read(reader, 65536):
            got.extend(part)

    thread = threading.Thread(target=read)
    thread.start()
    output.write_all(writer, data)
    os.close(writer)
    thread.join(60)
    os.close(reader)
    assert got == data


@pytest.mark.parametrize(("encoding", "text"), [("utf-8", '{"a":"é"}\n'), ("latin-1", '{"a":"\\u00e9"}\n')])
def test_json_is_valid_in_every_encoding(monkeypatch, encoding, text):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding))
    output.print_json({"a": "é"})
    output.sys.stdout.flush()
    assert raw.getvalue().decode(encoding) == text


def test_json_does_nothing_to_a_terminal_and_says_the_same(capsys):
    value = {"a": "\x9b31m\x85\u2028\u202e\x7f\x1b\u2066é\U0001f600", "\u202e": ["\udcff"]}
    output.prepare()
    output.print_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert not set(out[:-1]) & set("\x9b\x85\u2028\u202e\x7f\x1b\u2066\n")
    assert "é\U0001f600" in out
