"""Key names to the bytes a terminal would send for them.

The names are tmux's (``Enter``, ``C-c``, ``M-x``, ``F5``), upper or lower case, and a few that people type
anyway (``Esc``, ``Return``, ``ArrowUp``). The bytes are xterm's. Anything that is no key name is text and
sent as it stands, as tmux does; but what was clearly *meant* as a key (``C-Foo``, ``Entr``, ``Ctrl+C``) is
refused with the nearest names, since typing those letters into a program is never what the caller wanted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from outlast.core.errors import BadInput

ESC = "\x1b"

# Keys whose code no modifier changes, but for the few named in _plain_key.
_PLAIN = {
    "Enter": "\r",
    "Escape": ESC,
    "Tab": "\t",
    "BTab": "\x1b[Z",
    "Space": " ",
    "BSpace": "\x7f",
    **{f"KP{digit}": str(digit) for digit in range(10)},
    **{f"KP{sign}": sign for sign in "/*-+."},
    "KPEnter": "\r",
}

# Cursor keys: CSI letter, or SS3 letter while the program has asked for application cursor keys (DECCKM).
_CURSOR = {"Up": "A", "Down": "B", "Right": "C", "Left": "D", "Home": "H", "End": "F"}

# Keys of the form CSI number ~.
_TILDE = {"IC": 2, "DC": 3, "PageUp": 5, "PageDown": 6} | dict(
    zip((f"F{n}" for n in range(5, 13)), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)
)
_SS3 = {"F1": "P", "F2": "Q", "F3": "R", "F4": "S"}

_ALIASES = {
    "PgUp": "PageUp",
    "PPage": "PageUp",
    "PgDn": "PageDown",
    "NPage": "PageDown",
    "Insert": "IC",
    "Delete": "DC",
    "Esc": "Escape",
    "Return": "Enter",
    "Backspace": "BSpace",
    "Ins": "IC",
    "Del": "DC",
    **{f"Arrow{way}": way for way in ("Up", "Down", "Left", "Right")},
}

# xterm sends F13 to F20 as the shifted F1 to F8.
_SHIFTED = {f"F{n + 12}": f"F{n}" for n in range(1, 9)}

_NAMES = {name.lower(): name for name in (*_PLAIN, *_CURSOR, *_TILDE, *_SS3, *_SHIFTED, *_ALIASES)}
_NAME_MAX = 24  # longer strings are text without a look: C-M-S- and the longest name fit well inside

# What Ctrl makes of a character that is no letter. The digits are the VT220's.
_CONTROL = {"@": 0, " ": 0, "?": 0x7F, "/": 0x1F, "-": 0x1F} | dict(zip("[\\]^_", range(0x1B, 0x20), strict=True))
_CONTROL |= dict(zip("2345678", (0, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F, 0x7F), strict=True))

_MODIFIERS = re.compile(r"(?:[CMS]-|\^)(?=.)", re.IGNORECASE | re.DOTALL)
_LONG_MODIFIER = re.compile(r"<?(ctrl|control|alt|meta|shift)[-+](.+?)>?", re.IGNORECASE)
_LOOKS_LIKE_A_NAME = re.compile(r"[A-Z][A-Za-z]+|[Ff][0-9]{1,2}")
_SHORT_MODIFIER = {"ctrl": "C-", "control": "C-", "alt": "M-", "meta": "M-", "shift": "S-"}

PASTE_START = b"\x1b[200~"
PASTE_END = b"\x1b[201~"
_END_MARK = re.compile(rb"(?:\x1b\[|\xc2\x9b)201~")  # the second lead is the one-character CSI
_LEAD = re.compile(rb"[\x1b\x9b]")


def encode_keys(keys: Sequence[str], *, application_cursor: bool = False) -> bytes:
    """Return the bytes for ``keys``, each a key name, or text to be typed as it stands.

    ``application_cursor`` is the program's DECCKM mode: it changes what the bare arrows, Home and End send.
    Raises BadInput ``bad_key`` for what looks like a key name but is none; nothing is encoded in part.
    """
    return b"".join(_encode(key, application_cursor) for key in keys)


def encode_literal(text: str) -> bytes:
    """Return ``text`` as the bytes of UTF-8, with no key names looked for.

    Bytes that reached us from a command line as lone surrogates become those bytes again; any other lone
    surrogate raises BadInput ``bad_key``.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadInput(
            f"{_shown(text)} has half of a surrogate pair and is no text.",
            code="bad_key",
            hint="Send raw bytes as hex instead.",
        ) from None


def encode_hex(items: Sequence[str]) -> bytes:
    """Return the bytes written in ``items`` as pairs of hex digits, such as ``["1b", "5b41"]``.

    Raises BadInput ``bad_key`` for anything else.
    """
    out = bytearray()
    for item in items:
        try:
            out += bytes.fromhex(item)
        except ValueError:
            raise BadInput(
                f"{_shown(item)} is not hex: two hex digits are needed for each byte.",
                code="bad_key",
                hint='For Escape [ A write ["1b", "5b", "41"] or ["1b5b41"].',
            ) from None
    return bytes(out)


def paste(text: str, bracketed: bool) -> bytes:
    """Return what a terminal sends when ``text`` is pasted: line ends as CR, paste marks if ``bracketed``.

    ``bracketed`` is whether the program asked for it (mode 2004). The end mark is taken out of the text, so
    that pasted text cannot end the paste and go on as typed commands.
    """
    data = encode_literal(text.replace("\r\n", "\r").replace("\n", "\r"))
    if not bracketed:
        return data
    data = _END_MARK.sub(b"", data)
    if _END_MARK.search(data):
        # Taking one mark out joined the halves of another, which only an attack is made to do. Taking out
        # mark after mark would need quadratic time, so all their lead bytes go at once.
        data = _LEAD.sub(b"", data)
    return PASTE_START + data + PASTE_END


def _encode(key: str, application_cursor: bool) -> bytes:
    if not 1 < len(key) <= _NAME_MAX:
        return encode_literal(key)
    name = _NAMES.get(key.lower())
    if name is not None:
        return _named(name, frozenset(), application_cursor).encode("ascii")
    modifiers: set[str] = set()
    base = key
    while (found := _MODIFIERS.match(base)) is not None:
        modifiers.add("C" if found[0] == "^" else found[0][0].upper())
        base = base[found.end() :]
    if modifiers:
        code = _modified(base, frozenset(modifiers), application_cursor)
        if code is not None:
            return encode_literal(code)
    _refuse_near_misses(key, base, bool(modifiers))
    return encode_literal(key)


def _modified(base: str, modifiers: frozenset[str], application_cursor: bool) -> str | None:
    """Return the code of ``base`` under ``modifiers``; None when there is no such key."""
    name = _NAMES.get(base.lower())
    if name is not None:
        return _named(name, modifiers, application_cursor)
    if len(base) != 1:
        return None
    code = base
    if "C" in modifiers:
        code = _control(base)
    elif "S" in modifiers:
        code = base.upper() if base.isalpha() else ""  # what Shift makes of 1 is the keyboard's secret
    return (ESC + code if "M" in modifiers else code) if code else None


def _control(char: str) -> str:
    if char.isascii() and char.isalpha():
        return chr(ord(char) & 0x1F)
    return chr(_CONTROL[char]) if char in _CONTROL else ""


def _named(name: str, modifiers: frozenset[str], application_cursor: bool) -> str:
    name = _ALIASES.get(name, name)
    if name in _SHIFTED:
        name, modifiers = _SHIFTED[name], modifiers | {"S"}
    if name in _PLAIN:
        return _plain_key(name, modifiers)
    if not modifiers:
        if name in _CURSOR:
            return f"{ESC}{'O' if application_cursor else '['}{_CURSOR[name]}"
        return f"{ESC}O{_SS3[name]}" if name in _SS3 else f"{ESC}[{_TILDE[name]}~"
    number = 1 + ("S" in modifiers) + 2 * ("M" in modifiers) + 4 * ("C" in modifiers)
    if name in _TILDE:
        return f"{ESC}[{_TILDE[name]};{number}~"
    return f"{ESC}[1;{number}{_CURSOR.get(name) or _SS3[name]}"


def _plain_key(name: str, modifiers: frozenset[str]) -> str:
    """Return a key without modified forms: only C-Space and S-Tab differ, and M- puts an Escape before it."""
    code = _PLAIN[name]
    if name == "Space" and "C" in modifiers:
        code = "\0"
    elif name == "Tab" and "S" in modifiers:
        code = _PLAIN["BTab"]
    return ESC + code if "M" in modifiers else code


def _refuse_near_misses(key: str, base: str, modified: bool) -> None:
    """Raise BadInput ``bad_key`` if ``key`` was meant as a key name."""
    long = _LONG_MODIFIER.fullmatch(key)
    if long is not None:
        names = [_SHORT_MODIFIER[long[1].lower()] + (long[2].lower() if len(long[2]) == 1 else long[2])]
    elif modified and (key[0].isupper() or key[0] == "^"):
        prefix = key[: len(key) - len(base)]
        names = [prefix + name for name in _near(base)] or ["C-c", "M-x", "C-Left", "S-F5"]
    elif _LOOKS_LIKE_A_NAME.fullmatch(key) and len(key) > 2:
        names = _near(key)
    else:
        return
    if not names:
        return
    raise BadInput(
        f"{_shown(key)} is not a key.",
        code="bad_key",
        hint=f"Did you mean {' or '.join(names)}? To type it as text, ask for literal.",
    )


def _near(name: str) -> list[str]:
    return [_NAMES[near] for near in get_close_matches(name.lower(), _NAMES, n=3, cutoff=0.8)]


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:39] + "…")
