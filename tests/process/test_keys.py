"""Key names, literal text, hex and paste, as bytes."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.errors import BadInput
from outlast.process.keys import PASTE_END, PASTE_START, encode_hex, encode_keys, encode_literal, paste

PATIENCE = 90.0
"""Seconds until a wait for a real tmux is given up."""

TABLE = {
    "Enter": b"\r",
    "Escape": b"\x1b",
    "Tab": b"\t",
    "BTab": b"\x1b[Z",
    "Space": b" ",
    "BSpace": b"\x7f",
    "Up": b"\x1b[A",
    "Down": b"\x1b[B",
    "Right": b"\x1b[C",
    "Left": b"\x1b[D",
    "PageUp": b"\x1b[5~",
    "PgUp": b"\x1b[5~",
    "PPage": b"\x1b[5~",
    "PageDown": b"\x1b[6~",
    "PgDn": b"\x1b[6~",
    "NPage": b"\x1b[6~",
    "IC": b"\x1b[2~",
    "Insert": b"\x1b[2~",
    "DC": b"\x1b[3~",
    "Delete": b"\x1b[3~",
    "F1": b"\x1bOP",
    "F2": b"\x1bOQ",
    "F3": b"\x1bOR",
    "F4": b"\x1bOS",
    "F5": b"\x1b[15~",
    "F6": b"\x1b[17~",
    "F10": b"\x1b[21~",
    "F11": b"\x1b[23~",
    "F12": b"\x1b[24~",
    "C-c": b"\x03",
    "C-C": b"\x03",
    "c-x": b"\x18",
    "^X": b"\x18",
    "^x": b"\x18",
    "^[": b"\x1b",
    "C-[": b"\x1b",
    "C-\\": b"\x1c",
    "C-]": b"\x1d",
    "C-^": b"\x1e",
    "C-_": b"\x1f",
    "C-@": b"\x00",
    "C-Space": b"\x00",
    "M-x": b"\x1bx",
    "M-X": b"\x1bX",
    "M-é": b"\x1b\xc3\xa9",
    "C-M-x": b"\x1b\x18",
    "M-C-x": b"\x1b\x18",
    "M-Enter": b"\x1b\r",
    "M-Tab": b"\x1b\t",
    "M-Space": b"\x1b ",
    "M-BSpace": b"\x1b\x7f",
    "M-Escape": b"\x1b\x1b",
    "C-Left": b"\x1b[1;5D",
    "C-Home": b"\x1b[1;5H",
    "S-Up": b"\x1b[1;2A",
    "M-Up": b"\x1b[1;3A",
    "C-M-Up": b"\x1b[1;7A",
    "C-S-M-Left": b"\x1b[1;8D",
    "C-PageUp": b"\x1b[5;5~",
    "C-IC": b"\x1b[2;5~",
    "C-F1": b"\x1b[1;5P",
    "S-F1": b"\x1b[1;2P",
    "S-F5": b"\x1b[15;2~",
    "enter": b"\r",
    "ENTER": b"\r",
    "KP0": b"0",
    "KP/": b"/",
    "a": b"a",
    "^": b"^",
    "-": b"-",
    "é": "é".encode(),
    "🙂": "🙂".encode(),
    "ls -la": b"ls -la",
    "hello": b"hello",
    "c-3po": b"c-3po",
}


@pytest.mark.parametrize("key", TABLE)
def test_table(key):
    """Each name has the bytes that are written beside it."""
    assert encode_keys([key]) == TABLE[key]


OURS = {
    "Home": b"\x1b[H",  # tmux sends the VT220's CSI 1 ~; xterm's form is in more key tables
    "End": b"\x1b[F",
    "F13": b"\x1b[1;2P",
    "F20": b"\x1b[19;2~",
    "C-F13": b"\x1b[1;6P",
    "S-Tab": b"\x1b[Z",
    "S-a": b"A",
    "C-?": b"\x7f",  # from here on tmux's answer depends on its version
    "C--": b"\x1f",
    "C-/": b"\x1f",
    "C-2": b"\x00",
    "C-3": b"\x1b",
    "C-8": b"\x7f",
    "C-Enter": b"\r",
    "Esc": b"\x1b",
    "esc": b"\x1b",
    "Return": b"\r",
    "Backspace": b"\x7f",
    "Del": b"\x1b[3~",
    "ArrowUp": b"\x1b[A",
    "C-ArrowUp": b"\x1b[1;5A",
    "": b"",
    "\x03": b"\x03",
}


@pytest.mark.parametrize("key", OURS)
def test_where_we_say_more_than_tmux(key):
    """Names tmux lacks, and the few codes where we follow xterm."""
    assert encode_keys([key]) == OURS[key]


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_table_is_what_tmux_sends(tmp_path: Path):
    """A real tmux, asked to send the same names into a raw terminal, sends the same bytes."""
    out = tmp_path / "got"
    sockets = tempfile.mkdtemp(prefix="ol-", dir="/tmp")  # short: a socket's path is limited
    tmux = ["env", "-u", "TMUX", f"TMUX_TMPDIR={sockets}", "tmux", "-f", "/dev/null", "-u"]
    script = f"stty raw -echo; printf ready; exec cat > {out}"

    def tell(*words, check=True):
        return subprocess.run([*tmux, *words], check=check, capture_output=True, timeout=PATIENCE).stdout

    tell("new-session", "-d", "-x", "80", "-y", "24", script)
    try:

        def until(condition):
            deadline = time.monotonic() + PATIENCE
            while not condition():
                assert time.monotonic() < deadline
                time.sleep(0.01)

        until(lambda: b"ready" in tell("capture-pane", "-p") and out.exists())
        wanted = b""
        for key in TABLE:
            tell("send-keys", "--", key)
            tell("send-keys", "-l", "--", "\n")
            wanted += TABLE[key] + b"\n"
        until(lambda: len(out.read_bytes()) >= len(wanted))
        got = out.read_bytes().split(b"\n")
        assert dict(zip(TABLE, got, strict=False)) == TABLE
    finally:
        tell("kill-server", check=False)
        shutil.rmtree(sockets, ignore_errors=True)  # the server removes its socket itself


def test_application_cursor_mode_changes_only_the_bare_cursor_keys():
    """With DECCKM the arrows, Home and End come as SS3; a modifier brings CSI back."""
    keys = ["Up", "Down", "Right", "Left", "Home", "End"]
    assert encode_keys(keys, application_cursor=True) == b"\x1bOA\x1bOB\x1bOC\x1bOD\x1bOH\x1bOF"
    assert encode_keys(["C-Up", "PageUp", "F5"], application_cursor=True) == b"\x1b[1;5A\x1b[5~\x1b[15~"


def test_several_keys_are_joined():
    """Names and text may be mixed in one call."""
    assert encode_keys([":wq", "Enter", "C-d"]) == b":wq\r\x04"


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("Entr", "Enter"),
        ("Escpe", "Escape"),
        ("PageDwn", "PageDown"),
        ("BackSpce", "Backspace"),
        ("F21", "F2"),
        ("C-Lefft", "C-Left"),
        ("C-M-Rigth", "C-M-Right"),
        ("^Foo", "C-c"),
        ("C-Foo", "C-c"),
        ("M-word", "M-x"),
        ("C-é", "C-c"),
        ("C-1", "C-c"),
        ("S-1", "S-F5"),
        ("Ctrl+C", "C-c"),
        ("ctrl-c", "C-c"),
        ("<Ctrl-C>", "C-c"),
        ("Alt+Left", "M-Left"),
        ("Shift-Tab", "S-Tab"),
    ],
)
def test_a_key_that_was_meant_but_is_none_is_refused_with_near_names(key, near):
    """The letters of a misspelt key are never typed into the program."""
    with pytest.raises(BadInput) as caught:
        encode_keys(["a", key])
    assert caught.value.code == "bad_key"
    assert near in (caught.value.hint or "")
    assert "literal" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "C-",
        "M-",
        "Hello",
        "Yes",
        "No",
        "echo C-Foo",
        "entr",
        "git commit",
        "OK",
        "C-" * 5000,
        "Lorem",
        "x-C-c",
    ],
)
def test_other_text_is_literal(text):
    """What does not look like a key goes through as text."""
    assert encode_keys([text]) == text.encode()


def test_literal_looks_for_no_names():
    """Literal text that spells a key name is text."""
    assert encode_literal("Enter C-c ünï\n") == "Enter C-c ünï\n".encode()


def test_surrogates():
    """Bytes of a command line in another encoding pass unchanged; half a surrogate pair is refused."""
    assert encode_literal("\udce4") == b"\xe4"
    assert encode_keys(["a\udcffb"]) == b"a\xffb"
    with pytest.raises(BadInput) as caught:
        encode_keys(["\ud800"])
    assert caught.value.code == "bad_key"


def test_hex():
    """Hex pairs become bytes, in any case and grouping."""
    assert encode_hex(["1b", "5b41", "FF", ""]) == b"\x1b[A\xff"


@pytest.mark.parametrize("item", ["1", "zz", "0x1b", "1b5", "é"])
def test_bad_hex_is_refused(item):
    """Anything but pairs of hex digits is refused, and named."""
    with pytest.raises(BadInput) as caught:
        encode_hex(["1b", item])
    assert caught.value.code == "bad_key"
    assert ascii(item) in caught.value.message


def test_paste():
    """Line ends become CR, and the marks are there only when asked for."""
    assert paste("a\nb\r\nc\rd", False) == b"a\rb\rc\rd"
    assert paste("a\nb", True) == b"\x1b[200~a\rb\x1b[201~"


@pytest.mark.parametrize(
    "text",
    [
        "safe\x1b[201~rm -rf /\n",
        "safe\x1b[2\x1b[201~01~rm\n",
        "safe\x1b\x1b\x1b[201~[201~[201~rm\n",
        "\x1b[2" * 1000 + "\x1b[201~" + "01~" * 1000,
        "safe\x9b201~rm\n",
        "\x1b[2\x9b201~01~",
        "\x9b20\x1b[201~1~",
        "\udcc2\udc9b201~",
    ],
)
def test_pasted_text_cannot_end_the_paste(text):
    """No trick leaves an end mark inside."""
    data = paste(text, True)
    inside = data[len(PASTE_START) : -len(PASTE_END)]
    assert data == PASTE_START + inside + PASTE_END
    assert b"\x1b[201~" not in inside
    assert b"\xc2\x9b201~" not in inside


def test_only_the_mark_is_taken_out_of_a_paste():
    """Other escapes in pasted text stay: the program may show them."""
    assert paste("\x1b[31mred\x1b[201~ x", True) == b"\x1b[200~\x1b[31mred x\x1b[201~"


@given(st.lists(st.text(alphabet=st.sampled_from("\x1b[201~\x9b\n aé"), max_size=40), max_size=5))
def test_no_paste_can_be_ended_from_inside(parts):
    """Whatever is pasted, the first end mark is the last bytes."""
    data = paste("".join(parts), True)
    assert data.index(PASTE_END) == len(data) - len(PASTE_END)


@given(st.lists(st.text(max_size=12), max_size=5), st.booleans())
def test_any_text_is_encoded_or_refused(keys, application_cursor):
    """No input raises anything but BadInput."""
    try:
        assert isinstance(encode_keys(keys, application_cursor=application_cursor), bytes)
    except BadInput as refused:
        assert refused.code == "bad_key"
