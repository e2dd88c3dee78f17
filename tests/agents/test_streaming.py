"""Texts that come in pieces: nothing is lost, secrets stay masked however they are cut."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st

from outlast.agents.streaming import CONTEXT, PIECE_MAX, Masked, Message
from outlast.core.redact import MASK, redact

LINES = [
    "a line of plain text\n", "export API_KEY=hunter2hunter2 and more\n", "password: hunter2\n", "\n", "a b",
    '{"token": "abcdefgh12345678"}\n', "https://me:hunter2@host/path\n", "Authorization: Bearer abcdefgh12345678\n",
    "ghp_abcdefghij0123456789 \n", "x" * 200, "tail without an end",
]  # fmt: skip
KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "".join(f"secretline{n:05d}\n" for n in range(400))
    + "-----END RSA PRIVATE KEY-----\n"
)


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    at = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(at)]


@given(st.lists(st.sampled_from(LINES), max_size=12), st.lists(st.integers(0, 600), max_size=20))
@settings(deadline=None)
def test_pieces_are_masked_as_the_whole_is(lines: list[str], cuts: list[int]) -> None:
    """Passed on whenever a word is complete, the pieces together are what masking the whole would be."""
    text, masked, out = "".join(lines), Masked(), []
    for piece in pieces_of(text, cuts):
        masked.take(piece)
        out.append(masked.ready())
    out.append(masked.rest())
    assert "".join(out) == redact(text)


@given(st.lists(st.integers(0, len(KEY)), max_size=30))
@example([])
@settings(deadline=None, max_examples=30)
def test_a_private_key_stays_masked_over_thousands_of_characters(cuts: list[int]) -> None:
    masked, out = Masked(), []
    for piece in pieces_of("here it is:\n" + KEY + "done\n", cuts):
        masked.take(piece)
        out.append(masked.ready())
    said = "".join(out) + masked.rest()
    assert "secretline" not in said
    assert said.startswith("here it is:\n-----BEGIN RSA PRIVATE KEY-----" + MASK)
    assert said.endswith("-----END RSA PRIVATE KEY-----\ndone\n")


def test_what_was_passed_on_is_forgotten() -> None:
    """Memory stays bounded however long a message grows."""
    masked = Masked()
    for _ in range(2_000):
        masked.take("some words of a long text\n")
        masked.ready()
    assert len(masked._text) <= 3 * CONTEXT


def test_a_word_without_end_is_passed_on_at_last() -> None:
    masked = Masked()
    masked.take("x" * 100)
    assert masked.ready() == ""
    masked.take("x" * 10_000)
    assert masked.ready() == "x" * 10_100


def test_a_message_is_cut_at_line_ends() -> None:
    out: list[str] = []
    message = Message(3, lambda number, text: out.append(f"{number}:{text}"))
    message.take("line of text\n" * (PIECE_MAX // 6))
    message.flush(whole=True)
    assert all(piece.startswith("m3:line") and piece.endswith("\n") and len(piece) <= PIECE_MAX + 3 for piece in out)
    assert sum(len(piece) - 3 for piece in out) == 13 * (PIECE_MAX // 6)
