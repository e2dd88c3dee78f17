"""Links: good for one approval until one moment, and nothing that is not ours is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.approval_link import Grant, make_token, read_token

SECRET = bytes(range(32))
GRANT = Grant("both", 1_800_000_000)
TOKEN = make_token(SECRET, "a1", GRANT)


@pytest.mark.parametrize("may", ["both", "approve", "reject"])
def test_a_token_grants_what_it_was_made_for(may: str) -> None:
    grant = Grant(may, 1_800_000_000)  # type: ignore[arg-type]
    read = read_token(SECRET, "a1", make_token(SECRET, "a1", grant), 1_799_999_999.9)
    assert read == grant
    assert [grant.allows("approve"), grant.allows("reject")] == [may != "reject", may != "approve"]


def test_a_token_ends_with_its_moment() -> None:
    assert read_token(SECRET, "a1", TOKEN, 1_800_000_000.0) == "expired"


def test_another_approval_another_home_and_a_changed_token_get_nothing() -> None:
    assert read_token(SECRET, "a2", TOKEN, 0) == "forged"
    assert read_token(SECRET[::-1], "a1", TOKEN, 0) == "forged"
    head, _, mac = TOKEN.partition(".")
    longer = f"b{GRANT.expires_at + 1:x}.{mac}"
    other = f"a{head[1:]}.{mac}"
    for wrong in (
        longer,
        other,
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN + "=",
        head,
        "",
        ".",
        "." + mac,
        "é.é",
        "b.",
        "x" * 10**6,
    ):
        assert read_token(SECRET, "a1", wrong, 0) == "forged", wrong


@given(st.text(max_size=120))
def test_no_text_is_a_token_by_chance_and_none_is_a_fault(text: str) -> None:
    assert read_token(SECRET, "a1", text, 0) == "forged"


def test_every_letter_of_a_token_counts() -> None:
    for at in range(len(TOKEN)):
        for char in "Aa0.":
            changed = TOKEN[:at] + char + TOKEN[at + 1 :]
            if changed != TOKEN:
                assert read_token(SECRET, "a1", changed, 0) == "forged"
