"""The tables ``[agents.NAME]`` of the config file: read strictly, and written for ``outlast agents add``.

The command line imports this module too, so it works on plain values; `read_agents` alone makes records of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from outlast.core.durations import parse_duration
from outlast.core.errors import BadInput

if TYPE_CHECKING:
    from outlast.core.agent import AgentSpec, HeartbeatSpec

BACKENDS = ("acp", "command", "model")
OUTPUTS = ("text", "json", "claude-stream-json", "codex-jsonl")
PERMISSIONS = ("ask", "allow", "deny")
TOOLS = ("exec", "process", "tasks", "flow", "cron", "approvals", "agents", "subagents")
"""What an agent of the backend ``model`` can be given."""
NAME_MAX = 64
SECTION = "agents"
YEAR = 31_536_000.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
_MODEL = re.compile(r"[a-z][a-z0-9-]*:\S+")


class Key(NamedTuple):
    """A key of a table: what it takes (in words), what it is for, and for which backends there is one.

    ``read`` returns the value for the field, and raises ValueError for what is not allowed.
    """

    name: str
    field: str
    allowed: str
    help: str
    read: Callable[[Any], Any]
    backends: tuple[str, ...] = BACKENDS


def _checked(raw: Any, fine: bool) -> Any:  # noqa: ANN401
    if not fine:
        raise ValueError
    return raw


def _choice(*words: str) -> Callable[[Any], str]:
    return lambda raw: str(_checked(raw, isinstance(raw, str) and raw in words))


def _text(raw: Any) -> str:  # noqa: ANN401
    return str(_checked(raw, isinstance(raw, str) and "\0" not in raw))


def _strings(raw: Any) -> tuple[str, ...]:  # noqa: ANN401
    fine = isinstance(raw, list | tuple) and all(isinstance(item, str) and "\0" not in item for item in raw)
    return tuple(_checked(raw, fine))


def _command(raw: Any) -> tuple[str, ...]:  # noqa: ANN401
    items = _strings(raw)
    return tuple(_checked(items, bool(items) and bool(items[0].strip())))


def _tools(raw: Any) -> tuple[str, ...]:  # noqa: ANN401
    return tuple(_checked(_strings(raw), set(raw) <= set(TOOLS)))


def _model(raw: Any) -> str:  # noqa: ANN401
    return str(_checked(raw, isinstance(raw, str) and _MODEL.fullmatch(raw) is not None))


def _path(raw: Any) -> str:  # noqa: ANN401
    return str(_checked(raw, _text(raw) == "" or raw.startswith("/")))


def _env(raw: Any) -> dict[str, str]:  # noqa: ANN401
    fine = isinstance(raw, Mapping) and all(
        _VARIABLE.fullmatch(name) and isinstance(value, str) and "\0" not in value for name, value in raw.items()
    )
    return dict(_checked(raw, fine))


def _span(least: float, most: float = YEAR) -> Callable[[Any], float]:
    def read(raw: Any) -> float:  # noqa: ANN401
        if isinstance(raw, str):
            try:
                raw = parse_duration(raw)
            except BadInput:
                raise ValueError from None
        return float(_checked(raw, type(raw) in (int, float) and least <= raw <= most))

    return read


def _limit(raw: Any) -> float | None:  # noqa: ANN401
    return _span(0)(raw) or None


def _whole(least: int, most: int) -> Callable[[Any], int]:
    return lambda raw: int(_checked(raw, type(raw) is int and least <= raw <= most))


def _hours(raw: Any) -> tuple[str, str]:  # noqa: ANN401
    start, dash, end = _text(raw).partition("-")
    fine = bool(dash) and _CLOCK.fullmatch(start) and _CLOCK.fullmatch(end) and start != end and start != "24:00"
    _checked(raw, raw == "" or bool(fine))
    return start, end


def _zone(raw: Any) -> str:  # noqa: ANN401
    return str(_checked(raw, raw == "" or (isinstance(raw, str) and _ZONE.fullmatch(raw) is not None)))


def _file(raw: Any) -> str:  # noqa: ANN401
    fine = isinstance(raw, str) and raw.strip() and "\0" not in raw and ".." not in raw.split("/")
    return str(_checked(raw, bool(fine)))


KEYS: tuple[Key, ...] = (
    Key("backend", "backend", "acp, command or model",
        "How the agent is talked to: the Agent Client Protocol, one run of a program a turn, or a model directly.",
        _choice(*BACKENDS)),
    Key("command", "command", "a list of texts, the program first",
        "What starts it. For backend command a template, filled item by item: {message} {system} {conversation} "
        "{session} {workdir}; {{ and }} are literal braces; an item {resume} is where the items of resume go. Without "
        "{message} the message goes to the standard input.",
        _command, ("acp", "command")),
    Key("output", "output", "text, json, claude-stream-json or codex-jsonl",
        "What it prints.", _choice(*OUTPUTS), ("command",)),
    Key("resume", "resume", "a list of texts",
        "Items that make it go on with its earlier session, {session}; added from the second turn on.",
        _strings, ("command",)),
    Key("model", "model", "PROVIDER:NAME, as in openai:gpt-5 or anthropic:claude-sonnet-4-5",
        "The model. Keys and addresses come from the environment (OPENAI_API_KEY, OPENAI_BASE_URL, …).",
        _model, ("model",)),
    Key("system", "system", "text", "What it is told before the first message of a conversation.", _text),
    Key("tools", "tools", f"a list of {', '.join(TOOLS)}",
        "What it can use of outlast, on behalf of its conversation.", _tools, ("model",)),
    Key("workdir", "workdir", "an absolute path, or empty",
        "Where it works; empty: agents/NAME in the home, a directory of its own.", _path),
    Key("env", "env", "a table of variables and texts", "Added to its environment; shown to nobody.", _env),
    Key("permissions", "permissions", "ask, allow or deny",
        "What is done about what it asks leave for: an approval, a yes, a no.", _choice(*PERMISSIONS), ("acp",)),
    Key("permission_timeout", "permission_seconds", 'a span from 1s to 365d, such as "1h", or a number of seconds',
        "How long such a question waits for its answer; then the answer is no.", _span(1), ("acp",)),
    Key("timeout", "timeout_seconds", 'a span up to 365d, such as "1h", or a number of seconds; 0 is no limit',
        "How long a turn may take.", _limit),
    Key("max_requests", "requests_max", "a whole number from 1 to 10000",
        "How many requests to the model a turn may take.", _whole(1, 10_000), ("model",)),
    Key("max_tokens", "tokens_max", "a whole number from 1000 to 1000000000",
        "How many tokens a turn may take in all.", _whole(1000, 1_000_000_000), ("model",)),
    Key("heartbeat", "heartbeat", "a table: every, activeHours, tz, file, ackMaxChars, maxTurnsPerHour",
        "When it looks around by itself.", lambda raw: dict(_checked(raw, isinstance(raw, Mapping)))),
)  # fmt: skip
"""Every key of a table, in the order it is shown."""

HEARTBEAT_KEYS: tuple[Key, ...] = (
    Key("every", "every_seconds", 'a span up to 365d, such as "30m", or a number of seconds; 0 is never',
        "How often.", _span(0)),
    Key("activeHours", "hours", '"HH:MM-HH:MM", or empty',
        "The hours of the day, also over midnight; empty: always.", _hours),
    Key("tz", "tz", "the IANA name of a zone, or empty", "The zone of these hours; empty: the system's.", _zone),
    Key("file", "file", "a path below workdir", "The checklist.", _file),
    Key("ackMaxChars", "ack_max", "a whole number from 0 to 100000",
        "How much an answer may say beside HEARTBEAT_OK and still be kept quiet.", _whole(0, 100_000)),
    Key("maxTurnsPerHour", "turns_max_per_hour", "a whole number from 1 to 3600",
        "How many such turns there are in an hour at most.", _whole(1, 3600)),
)  # fmt: skip
NEEDED = {"acp": "command", "command": "command", "model": "model"}
"""The key that a backend cannot do without, by backend."""


def check_name(name: str, where: str = "the name of an agent") -> str:
    """Return the name of an agent, or raise `BadInput` (``bad_config``)."""
    if _NAME.fullmatch(name) and len(name) <= NAME_MAX:
        return name
    raise _bad(f"{where} cannot be {_shown(name)}", f"allowed: 1 to {NAME_MAX} letters, digits, - and _")


def check_agents(tables: Any, where: str = "") -> dict[str, dict[str, Any]]:  # noqa: ANN401
    """Check the tables of all agents, as TOML or JSON gives them, and return the fields of each.

    ``where`` is put before the keys in errors. Raises `BadInput` (``bad_config``) naming the key and what is allowed.
    """
    if not isinstance(tables, Mapping):
        raise _bad(f"{where}{SECTION} must be tables", '[agents.NAME] with backend = "acp" and a command')
    return {check_name(name, f"{where}{SECTION}: a name"): _check(name, raw, where) for name, raw in tables.items()}


def read_agents(tables: Any, where: str = "") -> dict[str, AgentSpec]:  # noqa: ANN401
    """Return the agents of such tables, by name; see `check_agents`."""
    from outlast.core.agent import AgentSpec

    made = {}
    for name, fields in check_agents(tables, where).items():
        beat = fields.pop("heartbeat", None)
        made[name] = AgentSpec(name=name, heartbeat=None if beat is None else _heartbeat(beat), **fields)
    return made


def _heartbeat(fields: dict[str, Any]) -> HeartbeatSpec:
    from outlast.core.agent import HeartbeatSpec

    start, end = fields.pop("hours", ("", ""))
    return HeartbeatSpec(active_from=start, active_until=end, **fields)


def _check(name: str, raw: Any, where: str) -> dict[str, Any]:  # noqa: ANN401
    key = f"{where}{SECTION}.{name}"
    if not isinstance(raw, Mapping):
        raise _bad(f"{key} must be a table", '[agents.NAME] with backend = "acp" and a command')
    if "backend" not in raw:
        raise _bad(f"{key}.backend is missing", f"allowed: {KEYS[0].allowed}")
    backend = str(_read(KEYS[0], raw["backend"], key))
    fields = _fields(KEYS, raw, key, backend)
    if NEEDED[backend] not in raw:
        raise _bad(f"{key}.{NEEDED[backend]} is missing", f"backend {backend} needs it")
    if "heartbeat" in fields:
        fields["heartbeat"] = _fields(HEARTBEAT_KEYS, fields["heartbeat"], f"{key}.heartbeat", backend)
    if backend == "command":
        _check_template(fields, key)
    return fields


def _check_template(fields: dict[str, Any], key: str) -> None:
    from outlast.core.agent_command import check_command

    for resume in ((), fields.get("resume", ())):
        try:
            template = check_command(fields["command"], resume)
        except BadInput as error:
            raise _bad(f"{key}: {error.message}", error.hint or "") from None
    if "session" in check_command(fields["command"]).gaps:
        raise _bad(f"{key}.command: {{session}} is known from the second turn on only", "put it into resume")
    del template


def _fields(keys: tuple[Key, ...], raw: Mapping[str, Any], where: str, backend: str) -> dict[str, Any]:
    known = {key.name: key for key in keys}
    fields = {}
    for name, value in raw.items():
        key = known.get(name)
        if key is None:
            raise _bad(f"{where}.{name} is not a key of it", f"known are {', '.join(known)}")
        if backend not in key.backends:
            raise _bad(
                f"{where}.{name} makes no sense with backend {backend}", f"it is for {' and '.join(key.backends)}"
            )
        fields[key.field] = _read(key, value, where)
    return fields


def _read(key: Key, raw: Any, where: str) -> Any:  # noqa: ANN401
    try:
        return key.read(raw)
    except (ValueError, TypeError):
        raise _bad(f"{where}.{key.name} cannot be {_shown(raw)}", f"allowed: {key.allowed}") from None


def shown_table(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked table as it may be shown: the values of ``env`` are nobody's business."""
    from outlast.core.redact import redact_argv

    shown = dict(raw)
    if "env" in shown:
        shown["env"] = dict.fromkeys(shown["env"], "***")
    for name in ("command", "resume"):
        if name in shown:
            shown[name] = redact_argv(shown[name])
    return shown


def settings_of(spec: AgentSpec) -> dict[str, Any]:
    """Return what holds for an agent: each key of its backend, the defaults too, secrets masked, spans in seconds."""
    shown: dict[str, Any] = {}
    for key in KEYS:
        if spec.backend in key.backends:
            value = getattr(spec, key.field)
            shown[key.name] = list(value) if isinstance(value, tuple) else value
    shown["timeout"] = spec.timeout_seconds or 0
    if (beat := spec.heartbeat) is not None:
        fields = {"hours": f"{beat.active_from}-{beat.active_until}" if beat.active_from else ""}
        shown["heartbeat"] = {key.name: fields.get(key.field, getattr(beat, key.field, "")) for key in HEARTBEAT_KEYS}
    return shown_table(shown)


def agent_table(name: str, raw: Mapping[str, Any]) -> str:
    """Return the text of ``[agents.NAME]`` in TOML, with the keys of a table as `check_agents` takes it."""
    lines = [f"[{SECTION}.{check_name(name)}]"]
    lines += [f"{key.name} = {_toml(raw[key.name])}" for key in KEYS if raw.get(key.name) is not None]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(name))} = {_toml(item)}" for name, item in value.items()) + "}"
    return "[" + ", ".join(map(_toml, value)) + "]"


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
    return short or (f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char)


def _shown(raw: Any) -> str:  # noqa: ANN401
    from outlast.core.redact import redact

    if isinstance(raw, dict):  # of variables, say: what they hold is nobody's business
        raw = dict.fromkeys(raw, "…")
    shown = redact(repr(raw))
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def _bad(what: str, hint: str) -> BadInput:
    return BadInput(what, code="bad_config", hint=hint)
