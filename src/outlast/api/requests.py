"""What can be asked, as typed records: one struct a request, bounds beside each field.

Every surface decodes into these, so a wrong value is refused at once and in the same words everywhere. All
fields but the obviously needed ones are optional, and ``null`` means "not given".
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from outlast.core.session import YIELD_MS_MAX, Leftovers, ReadyWhen, Streams

DAY_MS = 86_400_000
YEAR_SECONDS = 31_536_000
SHOWN_DEFAULT = 65_536
SHOWN_MAX = 1_048_576
LINES_DEFAULT = 200
BODY_MAX = 16 * 1024 * 1024
"""Bytes in one request body."""

Cols = Annotated[int, Meta(ge=1, le=1000)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Offset = Annotated[int, Meta(ge=0, le=2**53)]
ShownBytes = Annotated[int, Meta(ge=1, le=SHOWN_MAX)]
Lifetime = Annotated[float, Meta(gt=0, le=YEAR_SECONDS)]
Grace = Annotated[float, Meta(ge=0, le=3600)]
SignalName = Annotated[int | str, Meta(description="a signal name such as HUP or SIGHUP, or its number")]
Requester = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=BODY_MAX)]


class Request(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What every request may carry: on whose behalf it is made. It wins over the ``Outlast-Requester`` header."""

    requester: Requester | None = None


class StdinText(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Standard input as text: fed to the command, then closed."""

    text: Text


Stdin = Annotated[
    str | StdinText, Meta(description='"none", "pipe", {"text": …}, or any other text to feed and then close')
]


class ExecRequest(Request, frozen=True, kw_only=True):
    """Run a shell command (``command``) or a program (``argv``) now."""

    command: Annotated[str, Meta(max_length=1_000_000)] | None = None
    argv: Annotated[list[str], Meta(min_length=1, max_length=100_000)] | None = None
    workdir: Annotated[str, Meta(max_length=4096)] | None = None
    env: dict[str, str] | None = None
    yield_ms: Annotated[int, Meta(ge=0, le=YIELD_MS_MAX)] | None = None
    background: bool | None = None
    timeout_seconds: Lifetime | None = None
    idle_timeout_seconds: Lifetime | None = None
    grace_seconds: Grace | None = None
    pty: bool | None = None
    cols: Cols | None = None
    rows: Cols | None = None
    stdin: Stdin | None = None
    detach: bool | None = None
    ready_when: ReadyWhen | None = None
    leftovers: Leftovers | None = None
    title: Annotated[str, Meta(max_length=200)] | None = None
    labels: Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=16)] | None = None
    allow_duplicate: bool | None = None
    max_bytes: ShownBytes | None = None
    raw: bool | None = None
    streams: Streams | None = None
    caller_env: dict[str, str] | None = None
    follow: bool | None = None
    queue: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    priority: Annotated[int, Meta(ge=-1000, le=1000)] | None = None
    retries: Annotated[int, Meta(ge=0, le=999)] | None = None
    retry_delay_seconds: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    retry_delay_max_seconds: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    deadline_seconds: Lifetime | None = None
    delay_seconds: Lifetime | None = None
    dedupe_key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    notify: Literal["done_only", "state_changes", "failures_only", "silent"] | None = None
    conversation: Requester | None = None
    parent_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    node: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    ask: bool | None = None
    approval_expires_seconds: Annotated[float, Meta(ge=1, le=YEAR_SECONDS)] | None = None


class PollRequest(Request, frozen=True, kw_only=True):
    """What is new since the reader's cursor, or since ``since``; waits up to ``timeoutMs`` for news."""

    since: Offset | None = None
    reader: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None
    max_bytes: ShownBytes | None = None
    raw: bool | None = None


class LogRequest(Request, frozen=True, kw_only=True):
    """Lines of output by ``offset`` and ``limit``, the last ``tail`` lines, or a range of ``bytes``."""

    offset: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    bytes: Annotated[str, Meta(max_length=64, description='a byte range "START:END", either end optional')] | None = (
        None
    )
    tail: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    stream: Literal["stdout", "stderr"] | None = None
    raw: bool | None = None


class OutputRequest(Request, frozen=True, kw_only=True):
    """Raw bytes of output, ``start <= offset < end``."""

    start: Offset | None = None
    end: Offset | None = None


class StreamRequest(Request, frozen=True, kw_only=True):
    """Follow the output from a byte offset, or from its present end; ``frames`` tells the streams apart."""

    from_: Annotated[str, Meta(max_length=20, description='a byte offset or "end"')] | None = field(
        name="from", default=None
    )
    frames: bool | None = None
    raw: bool | None = None


class ListRequest(Request, frozen=True, kw_only=True):
    """Sessions, live ones first, then the newest ended."""

    status: Literal["running", "ended", "all"] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    before: Annotated[str, Meta(max_length=100)] | None = None


class WaitRequest(Request, frozen=True, kw_only=True):
    """Wait for many sessions at once: their exit, a pattern, a port, quiet, or any of those given."""

    session_ids: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=1000)]
    for_: Literal["exit", "pattern", "port", "quiet", "any"] | None = field(name="for", default=None)
    pattern: str | None = None
    port: Port | None = None
    quiet_seconds: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=DAY_MS)] | None = None
    mode: Literal["all", "any"] | None = None
    since: Offset | None = None
    max_bytes: ShownBytes | None = None
    raw: bool | None = None


class WriteRequest(Request, frozen=True, kw_only=True):
    """Bytes for standard input, as text or base64; ``eof`` closes it afterwards."""

    data: Text | None = None
    data_base64: Text | None = None
    eof: bool | None = None


class SendKeysRequest(Request, frozen=True, kw_only=True):
    """Keys for a terminal, by tmux names (``Enter``, ``C-c``), literally, or as hexadecimal bytes."""

    keys: Annotated[list[str], Meta(min_length=1, max_length=10_000)]
    literal: bool | None = None
    hex: bool | None = None


class SubmitRequest(Request, frozen=True, kw_only=True):
    """A line of text, then Enter."""

    text: Text | None = None


class PasteRequest(Request, frozen=True, kw_only=True):
    """Text as a paste; bracketed as the program asked unless ``bracketed`` says otherwise."""

    text: Text
    bracketed: bool | None = None


class ResizeRequest(Request, frozen=True, kw_only=True):
    """A new window size in character cells."""

    cols: Cols
    rows: Cols


class SignalRequest(Request, frozen=True, kw_only=True):
    """A signal for the command, its whole ``tree``, or the terminal's ``foreground`` group."""

    signal: SignalName
    tree: bool | None = None
    group: Literal["foreground"] | None = None


class KillRequest(Request, frozen=True, kw_only=True):
    """End the whole tree: ``signal`` (default TERM), ``graceSeconds``, then KILL."""

    signal: SignalName | None = None
    grace_seconds: Grace | None = None
    max_bytes: ShownBytes | None = None
    raw: bool | None = None


class ScreenRequest(Request, frozen=True, kw_only=True):
    """A terminal's present screen, optionally drawn at another size."""

    cols: Cols | None = None
    rows: Cols | None = None


class PlainRequest(Request, frozen=True, kw_only=True):
    """A request that needs no more than the name of a session, or nothing at all."""


class StopRequest(Request, frozen=True, kw_only=True):
    """Stop the gateway; sessions go on unless ``killSessions``."""

    kill_sessions: bool | None = None
