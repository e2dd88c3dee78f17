"""The settings there are: what each one is for, what it may be, and how it is read.

A value is read strictly, from the config file as TOML gives it, from an environment variable as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from outlast.core.durations import parse_duration, parse_size
from outlast.core.errors import BadInput

if TYPE_CHECKING:
    from outlast.core.policy import Mode

_GIB = 1024**3


class Setting(NamedTuple):
    """What can be set: its default, the values allowed (in words), and what it is for.

    ``read`` takes a value as TOML gives it, ``from_text`` makes one from an environment variable, and both raise
    ValueError for what is not allowed.
    """

    key: str
    default: Any
    allowed: str
    help: str
    read: Callable[[Any], Any]
    from_text: Callable[[str], Any] | None

    @property
    def attribute(self) -> str:
        """The field of `Config` that holds it."""
        return self.key.replace(".", "_")

    @property
    def variable(self) -> str | None:
        """The environment variable that sets it; None when only the file can."""
        return f"OUTLAST_{self.attribute.upper()}" if self.from_text else None


def _choice(*words: str) -> Callable[[Any], str]:
    def read(raw: Any) -> str:  # noqa: ANN401
        return str(_checked(raw, raw in words))

    return read


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(raw: Any) -> int:  # noqa: ANN401
        return int(_checked(raw, type(raw) is int and least <= raw <= most))

    return read


def _number(least: float, most: float) -> Callable[[Any], float]:
    def read(raw: Any) -> float:  # noqa: ANN401
        return float(_checked(raw, type(raw) in (int, float) and least <= raw <= most))

    return read


def _size(least: int, most: int) -> Callable[[Any], int]:
    def read(raw: Any) -> int:  # noqa: ANN401
        return _whole(least, most)(_to_bytes(raw) if isinstance(raw, str) else raw)

    return read


def _span(least: float, most: float) -> Callable[[Any], float]:
    def read(raw: Any) -> float:  # noqa: ANN401
        return _number(least, most)(_to_seconds(raw) if isinstance(raw, str) else raw)

    return read


def _flag(raw: Any) -> bool:  # noqa: ANN401
    return bool(_checked(raw, type(raw) is bool))


def _strings(accepts: Callable[[str], bool]) -> Callable[[Any], tuple[str, ...]]:
    def read(raw: Any) -> tuple[str, ...]:  # noqa: ANN401
        fine = isinstance(raw, list) and all(isinstance(item, str) and accepts(item) for item in raw)
        return tuple(_checked(raw, fine))

    return read


def _string(accepts: Callable[[str], bool]) -> Callable[[Any], str]:
    def read(raw: Any) -> str:  # noqa: ANN401
        return str(_checked(raw, isinstance(raw, str) and (raw == "" or accepts(raw))))

    return read


def _modes(raw: Any) -> Mapping[str, str]:  # noqa: ANN401
    fine = isinstance(raw, dict) and all(glob and mode in MODES for glob, mode in raw.items())
    return MappingProxyType(dict(_checked(raw, fine)))


def _checked(raw: Any, fine: bool) -> Any:  # noqa: ANN401
    if not fine:
        raise ValueError
    return raw


def _to_bytes(text: str) -> int:
    try:
        return parse_size(text)
    except BadInput:
        raise ValueError from None


def _to_seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except BadInput:
        raise ValueError from None


def _to_flag(text: str) -> bool:
    return bool(_checked(text, text in ("true", "false")) == "true")


def _to_whole(text: str) -> int:
    return int(_checked(text, text.isascii() and text.isdigit() and len(text) < 20))


def _to_number(text: str) -> float:
    return float(_checked(text, text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 20))


def _to_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _to_hosts(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _is_absolute(text: str) -> bool:
    return text.startswith("/") and "\0" not in text


def _is_host(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        return set(text[1:-1]) <= set("0123456789abcdefABCDEF:.") and ":" in text
    return text.isascii() and text.replace("-", "").replace(".", "").replace("_", "").isalnum()


def _is_address(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(colon) and _is_host(host) and port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65_536


def _is_url(text: str) -> bool:
    scheme, colon, rest = text.partition("://")
    host = rest.partition("/")[0]
    named = _is_address(host) if ":" in host.rpartition("]")[2] else _is_host(host)
    plain = text.isascii() and text.isprintable() and not set(rest) & set("?#@ \\\"'<>")
    return bool(colon) and scheme in ("http", "https") and named and plain and not text.endswith("/")


def _is_store(text: str) -> bool:
    return text.startswith(("sqlite:///", "postgresql://", "postgres://")) and "\0" not in text


MODES: tuple[Mode, ...] = ("full", "allowlist", "ask", "deny")

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "exec.mode", "full", "full, allowlist, ask or deny",
        "Who may run what: everything, what exec.allow matches, what is approved, nothing.",
        _choice(*MODES), str,
    ),
    Setting(
        "exec.allow", (), "a list of patterns; in the variable, one a line",
        'For mode allowlist: globs over the whole command line, such as "npm run *".',
        _strings(bool), _to_lines,
    ),
    Setting(
        "exec.requesters", MappingProxyType({}), "a table of requester patterns and modes",
        "A mode of their own for some requesters; the longest matching pattern wins.",
        _modes, None,
    ),
    Setting(
        "exec.yield_ms", 10_000, "a whole number from 0 to 120000",
        "How long exec waits for the end before it answers that the command is running, in milliseconds.",
        _whole(0, 120_000), _to_whole,
    ),
    Setting(
        "exec.fake_timers", "warn", "warn, refuse or off",
        "What to do about commands that only keep time: advise, refuse, nothing.",
        _choice("warn", "refuse", "off"), str,
    ),
    Setting(
        "exec.grace_seconds", 5.0, "a number from 0 to 3600",
        "How long a command has between SIGTERM and SIGKILL when it is ended, in seconds.",
        _number(0, 3600), _to_number,
    ),
    Setting(
        "exec.output_cap_bytes", _GIB // 4, "a size from 1 MiB to 1 TiB",
        "How much output of a session is kept; beyond it, the beginning and the end.",
        _size(1024**2, 1024 * _GIB), _to_bytes,
    ),
    Setting(
        "exec.shell", "", "an absolute path, or empty",
        "The shell that runs commands; empty: $SHELL when it is a POSIX shell, else bash, else sh.",
        _string(_is_absolute), str,
    ),
    Setting(
        "sessions.keep_hours", 24.0, "a number from 0 to 87600",
        "How long the output of an ended session is kept, in hours; its record stays.",
        _number(0, 87_600), _to_number,
    ),
    Setting(
        "sessions.keep_bytes", 5 * _GIB, "a size from 0 to 1024 TiB",
        "How much output of ended sessions is kept in all; the oldest goes first.",
        _size(0, 1024**2 * _GIB), _to_bytes,
    ),
    Setting(
        "sessions.live_max", 4000, "a whole number from 1 to 100000",
        "How many sessions may run at once.",
        _whole(1, 100_000), _to_whole,
    ),
    Setting(
        "store.url", "", "sqlite:///PATH, postgresql://…, or empty",
        "Where tasks are recorded; empty: the file ledger.db in the home. Gateways that share a server share the work.",
        _string(_is_store), str,
    ),
    Setting(
        "tasks.slots", 64, "a whole number from 1 to 10000",
        "How many recorded tasks this gateway runs at once; more wait in their queue.",
        _whole(1, 10_000), _to_whole,
    ),
    Setting(
        "tasks.keep_days", 7.0, "a number from 0 to 36500",
        "How long ended tasks stay on record, in days.",
        _number(0, 36_500), _to_number,
    ),
    Setting(
        "transcripts.keep_days", 30.0, "a number from 0 to 36500",
        "How long a conversation of an agent is kept after its last entry, in days.",
        _number(0, 36_500), _to_number,
    ),
    Setting(
        "approvals.expires", 86_400.0, 'a span from 1m to 365d, such as "24h", or a number of seconds',
        "How long an approval waits for its answer.",
        _span(60, 31_536_000), str,
    ),
    Setting(
        "approvals.notify", (), "a list of targets (webhook:URL, …) or conversations; in the variable, one a line",
        "Who else is told that an approval is asked: those who decide. What they get may hold a link that decides.",
        _strings(bool), _to_lines,
    ),
    Setting(
        "approvals.deciders", (), "a list of requester patterns; in the variable, one a line",
        "Requesters who may see and decide approvals of others, beside the operator.",
        _strings(bool), _to_lines,
    ),
    Setting(
        "approvals.own", False, "true or false",
        "Whether a requester may decide what it has asked for itself.",
        _flag, _to_flag,
    ),
    Setting(
        "flows.modules", (), "a list of Python files or modules; in the variable, one a line",
        "Programs whose flows the gateway keeps a worker for, so that they can be started by name.",
        _strings(bool), _to_lines,
    ),
    Setting(
        "flows.slots", 500, "a whole number from 1 to 10000",
        "How many flows one worker runs at once; flows that wait take no place.",
        _whole(1, 10_000), _to_whole,
    ),
    Setting(
        "flows.lease_seconds", 30.0, "a number from 1 to 3600",
        "How long a flow stays with a worker that is not heard of, in seconds.",
        _number(1, 3600), _to_number,
    ),
    Setting(
        "delivery.allow_private", (), "a list of networks or addresses; in the variable, with commas between",
        "Addresses of your own network that webhooks may reach; all others that are not public are refused.",
        _strings(bool), _to_hosts,
    ),
    Setting(
        "delivery.smtp_host", "", "a host name or address, or empty",
        "The mail server for notifications by mail; empty: no mail is sent.",
        _string(_is_host), str,
    ),
    Setting("delivery.smtp_port", 587, "a whole number from 1 to 65535", "Its port.", _whole(1, 65_535), _to_whole),
    Setting(
        "delivery.smtp_security", "starttls", "starttls, tls or none",
        "How the connection to it is protected.",
        _choice("starttls", "tls", "none"), str,
    ),
    Setting("delivery.smtp_sender", "", "a mail address, or empty", "Who the mail is from.", _string(bool), str),
    Setting(
        "delivery.smtp_username", "", "text, or empty", "The user to log in as; empty: no login.", _string(bool), str,
    ),
    Setting("delivery.smtp_password", "", "text, or empty", "The password of that user.", _string(bool), str),
    Setting(
        "gateway.listen", "", "HOST:PORT, or empty",
        "Also listen on TCP there, with a token; empty: only on the Unix socket.",
        _string(_is_address), str,
    ),
    Setting(
        "gateway.allow_hosts", (), "a list of host names; in the variable, with commas between",
        "Host names by which TCP callers may address the gateway, beside its own.",
        _strings(_is_host), _to_hosts,
    ),
    Setting(
        "gateway.public_url", "", "http(s)://HOST[:PORT][/PATH] without a slash at its end, or empty",
        "How people reach the gateway from elsewhere, for links to approvals; its host counts as one of the gateway's.",
        _string(_is_url), str,
    ),
)  # fmt: skip
"""Every setting, in the order it is shown."""


def default_config_text() -> str:
    """Return a config file with every setting at its default, commented out, each with its help."""
    lines = ["# Settings of outlast. Every line shows the default: take the # off to change it.\n"]
    section = ""
    for setting in SETTINGS:
        table, name = setting.key.split(".")
        if table != section:
            section = table
            lines += ["", f"[{section}]"]
        lines += [f"# {setting.help}", f"# Allowed: {setting.allowed}.", f"# {name} = {_toml(setting.default)}", ""]
    return "\n".join(lines)


def _toml(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    return "[]" if value == () else "{}" if isinstance(value, Mapping) else str(value)
