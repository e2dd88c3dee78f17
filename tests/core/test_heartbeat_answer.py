"""What counts as nothing to say, what as nothing to do, and what an agent is asked."""

from __future__ import annotations

import pytest

from outlast.core.agent import Beat
from outlast.core.heartbeat_answer import CHECKLIST_MAX, is_empty, message_of, notice_for, told_text
from outlast.core.notice_text import notice_text

LONG = "x" * 301


@pytest.mark.parametrize(("answer", "told"), [
    ("HEARTBEAT_OK", None), ("  HEARTBEAT_OK\n", None), ("**HEARTBEAT_OK**", None), ("`HEARTBEAT_OK`.", None),
    ("_HEARTBEAT_OK_", None), ("HEARTBEAT_OK: nothing new", None), ("All is well. HEARTBEAT_OK", None),
    ("All is well.\n\n**HEARTBEAT_OK**", None), ("HEARTBEAT_OK all is well HEARTBEAT_OK", None),
    ("HEARTBEAT_OK" + "x" * 301, "HEARTBEAT_OK" + "x" * 301), ("HEARTBEAT_OK " + "x" * 300, None),
    ("HEARTBEAT_OK " + LONG, LONG), (LONG + " HEARTBEAT_OK", LONG), ("x" * 300 + "\nHEARTBEAT_OK", None),
    ("Disk full. I would say HEARTBEAT_OK but no.", "Disk full. I would say HEARTBEAT_OK but no."),
    ("HEARTBEAT_OKAY", "HEARTBEAT_OKAY"), ("HEARTBEAT_OK_NOT", "HEARTBEAT_OK_NOT"),
    ("NO_HEARTBEAT_OK", "NO_HEARTBEAT_OK"), ("heartbeat_ok", "heartbeat_ok"), ("", None), (" \n", None),
    ("The build is red.", "The build is red."),
])  # fmt: skip
def test_an_answer_is_silence_or_is_passed_on(answer: str, told: str | None) -> None:
    assert told_text(answer, 300) == told


def test_how_much_may_stand_beside_it_is_the_agents_own_setting() -> None:
    assert told_text("HEARTBEAT_OK but look", 0) == "but look"
    assert told_text("HEARTBEAT_OK", 0) is None


@pytest.mark.parametrize(("checklist", "empty"), [
    (None, True), ("", True), ("\n \n\t", True), ("# Checklist\n\n## Daily\n", True), ("#\n###### six\n", True),
    ("<!-- look at the mail -->\n", True), ("<!-- several\nlines -->", True), ("<!-- never closed\n- mail", True),
    ("- [ ]\n- [ ] \n* [x]\n", True), ("-\n*\n1.\n2)\n", True), ("---\n***\n===\n", True), ("\ufeff# Title", True),
    ("```\n```", True), ("[ ]", True), ("- [ ] look at the mail", False), ("- mail", False), ("1. mail", False),
    ("# Title\nLook at the mail", False), ("- [x] done", False), ("#hashtag", False), ("<!-- a --> b", False),
])  # fmt: skip
def test_a_checklist_without_a_word_to_act_on_is_empty(checklist: str | None, empty: bool) -> None:
    assert is_empty(checklist) is empty


def test_the_message_says_why_when_and_what_the_checklist_holds() -> None:
    said = message_of("events: 1 failed", "2026-11-27 09:00 +0100", "HEARTBEAT.md", "# Mine\n- mail\n")
    assert "2026-11-27 09:00 +0100" in said
    assert "events: 1 failed" in said
    assert said.endswith("HEARTBEAT.md:\n# Mine\n- mail")
    assert "HEARTBEAT.md" not in message_of("interval", "now", "HEARTBEAT.md", "# Mine")
    assert len(message_of("interval", "now", "F", "- a" * CHECKLIST_MAX)) < CHECKLIST_MAX + 1000


def test_a_notice_of_a_beat_shows_its_text_whatever_stands_in_it() -> None:
    beat = Beat(7, "main", 1.0, "interval", "ran", "", "s", None, None)
    notice = notice_for(beat, "local", "Disk \x1b[31mfull\n{message} second line", "agent:main:main")
    assert notice.idempotency_key == "beat:7:heartbeat"
    said = notice_text(notice.kind, notice.body)
    assert said.title == "main: Disk full"
    assert said.text == "Disk full\n{message} second line"
