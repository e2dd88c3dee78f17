"""Desktop notifications through a program that stands in for ``notify-send``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from channel_servers import LIMIT, failure, message, run

from outlast.delivery.channels.desktop import BODY_MAX, Desktop, arguments
from outlast.delivery.channels.program import Programs


def desktop(folder: Path, script: str, **options: Any) -> Desktop:
    """A desktop whose notify-send is a Python script."""
    program = folder / "notify-send"
    program.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{script}\n")
    program.chmod(0o755)
    environ = {"PATH": str(folder), "DBUS_SESSION_BUS_ADDRESS": "unix:path=x", "OUTLAST_TOKEN": "secret"}
    return Desktop(Programs(), environ, **{"timeout_seconds": LIMIT, **options})


def test_a_message_becomes_arguments(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    run(desktop(tmp_path, f"json.dump([sys.argv[1:], dict(os.environ)], open({str(seen)!r}, 'w'))").send(message()))
    argv, environ = json.loads(seen.read_text())
    assert argv == ["--", '"build" failed', "It failed.\n| last line"]
    assert environ["DBUS_SESSION_BUS_ADDRESS"] == "unix:path=x"
    assert "OUTLAST_TOKEN" not in environ


@pytest.mark.parametrize(
    ("title", "text", "shown"),
    [
        ("--help", "--help", ["--help", "--help"]),
        ("<b>&</b>", '<a href="x">&</a>', ["<b>&</b>", '&lt;a href="x"&gt;&amp;&lt;/a&gt;']),
        ("a\\n", "a\\n\\377", ["a\\n", "a\\\\n\\\\377"]),  # it reads escapes in the text, not in the title
        ("\x1b[31m\x00a\nb", "\x1b[31m\x00a\nb", ["a b", "a\nb"]),
        ("", "", ["task.ended", ""]),
    ],
)
def test_neither_markup_nor_escapes_nor_options_are_meant(title: str, text: str, shown: list[str]) -> None:
    assert arguments(message(title=title, text=text)) == ["--", *shown]


def test_a_bubble_is_no_page() -> None:
    assert len(arguments(message(text="x" * 1_000_000))[-1]) == BODY_MAX


def test_a_program_that_is_not_there_is_named() -> None:
    """Trying again would not install it."""
    trouble = run(failure(Desktop(Programs(), {"PATH": os.devnull}).send(message())))
    assert not trouble.retryable
    assert "notify-send is not installed" in trouble.reason


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    """There may be no desktop session now, and one later."""
    channel = desktop(tmp_path, "print('Cannot autolaunch\\nD-Bus', file=sys.stderr); sys.exit(1)")
    trouble = run(failure(channel.send(message())))
    assert trouble.retryable
    assert trouble.reason == "notify-send ended with 1: Cannot autolaunch D-Bus"


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    trouble = run(failure(desktop(tmp_path, "time.sleep(60)", timeout_seconds=0.2).send(message())))
    assert trouble.retryable
    assert "within 0.2 s" in trouble.reason


def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    channel = desktop(tmp_path, "")
    (tmp_path / "notify-send").write_text("#!/no/such/interpreter\n")
    assert "could not be run" in run(failure(channel.send(message()))).reason
