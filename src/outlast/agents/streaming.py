"""A text that comes in pieces, passed on in larger ones with its secrets masked.

A secret may lie across pieces, so what was passed on already is looked at again with what follows it: a value whose
name came earlier is still known as one, and a word that is not yet complete is held back.
"""

from __future__ import annotations

from collections.abc import Callable

from outlast.agents.tidy import plain, secret_spans
from outlast.core.redact import MASK

CONTEXT = 1024
"""Characters of what was passed on that are looked at again."""
WORD_MAX = 4096
"""Characters of a word that is not complete; of a longer one the beginning is passed on."""
PIECE_MAX = 32 * 1024
"""Characters after which a piece is passed on at once."""
_BEGIN, _END = "-----BEGIN ", "-----END "


class Masked:
    """Masks a growing text. ``take`` adds to it, ``ready`` returns what can be passed on, ``rest`` all there is."""

    def __init__(self) -> None:
        self._text = ""
        self._done = 0
        self._in_key = False

    @property
    def pending(self) -> int:
        """Characters that were not passed on yet."""
        return len(self._text) - self._done

    def take(self, text: str) -> None:
        """Add what has come."""
        self._text += text

    def ready(self) -> str:
        """Return up to the last line end, else up to the last complete word."""
        line = self._text.rfind("\n", self._done) + 1
        if line:
            return self._pass(line)
        blank = max(self._text.rfind(" ", self._done), self._text.rfind("\t", self._done)) + 1
        return self._pass(blank if blank or self.pending <= WORD_MAX else len(self._text))

    def rest(self) -> str:
        """Return everything that is left: the text is complete."""
        return self._pass(len(self._text))

    def _pass(self, until: int) -> str:
        if until <= self._done:
            return ""
        out: list[str] = []
        at = self._done
        for start, end in self._spans():
            if end <= at or start >= until:
                continue
            if start >= at:
                out += (self._text[at:start], MASK)
            at = min(end, until)
        out.append(self._text[at:until])
        self._done = until
        self._forget()
        return "".join(out)

    def _spans(self) -> list[tuple[int, int]]:
        """The stretches to hide; inside a private key that began long ago, all up to its end."""
        spans = secret_spans(self._text)
        if self._in_key:
            end = self._text.find(_END)
            spans = [(-1, len(self._text) if end < 0 else end), *spans]
        return spans

    def _forget(self) -> None:
        if self._done <= 2 * CONTEXT:
            return
        keep = self._text.find("\n", self._done - CONTEXT, self._done) + 1 or self._done - CONTEXT
        gone = self._text[:keep]
        begun, ended = gone.rfind(_BEGIN), gone.rfind(_END)
        self._in_key = ("PRIVATE KEY" in gone[begun:]) if begun > ended else self._in_key and ended < 0
        self._text, self._done = self._text[keep:], self._done - keep


class Message:
    """One message of an agent as it comes: coalesced, masked, and the end of it remembered as the answer."""

    def __init__(self, number: int, emit: Callable[[str, str], None]) -> None:
        """``emit`` is called with the message's id and a piece of its text."""
        self.id = f"m{number}"
        self._emit = emit
        self._masked = Masked()

    def take(self, text: str) -> None:
        """Add a piece; a long one is passed on at once."""
        self._masked.take(plain(text))
        if self._masked.pending >= PIECE_MAX:
            self.flush()

    @property
    def waiting(self) -> bool:
        """True while something was not passed on."""
        return self._masked.pending > 0

    def flush(self, *, whole: bool = False) -> None:
        """Pass on what is complete; with ``whole`` everything."""
        text = self._masked.rest() if whole else self._masked.ready()
        while text:
            end = len(text) if len(text) <= PIECE_MAX else text.rfind("\n", 0, PIECE_MAX) + 1 or PIECE_MAX
            self._emit(self.id, text[:end])
            text = text[end:]
