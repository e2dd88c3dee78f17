"""A user's crontab, entry by entry, and the schedules its entries stand for.

It is read as Debian's cron reads it: settings hold for the entries below them, ``%`` ends the command and begins its
input. A line that is wrong is refused with its number and the reason and harms no other. Comments above an entry
belong to it. A line ``# outlast: name=backup misfire=all:3`` carries what a crontab has no words for; the export
writes it, and to every cron it is a comment.
"""

from __future__ import annotations

import re
from posixpath import basename
from typing import Any

import msgspec

from outlast.core.durations import parse_duration
from outlast.core.errors import BadInput
from outlast.core.schedule import CommandPayload, Kind, Overlap, check_name, parse_misfire
from outlast.scheduler import cron
from outlast.scheduler.zones import zone

TEXT_MAX = 1_048_576
"""The longest table that is read, in characters."""

LINE_MAX = 8192
"""The longest line that is read, in characters."""

ENTRIES_MAX, SETTINGS_MAX, REFUSED_MAX = 5000, 200, 200
"""Bounds of a table: entries, variables in force at once, and wrong lines after which it is no crontab at all."""

SHELL_DEFAULT = "/bin/sh"
"""What cron runs a command with when the table does not say."""

OWN = ("CRON_TZ", "SHELL", "MAILTO")
NOT_TAKEN = ("MAILFROM", "RANDOM_DELAY", "LOGNAME", "USER")
_SETTING = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^\s=]+))[ \t]*=[ \t]*(.*)""")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LIKE_A_FIELD = re.compile(r"[*0-9][*0-9/,-]*(\s|$)")
_PERCENT = re.compile(r"(?<!\\)%")
_OPTIONS = re.compile(r"outlast:((?: [a-z]+=[A-Za-z0-9._:-]+)*) *")
_WORD = re.compile(r"[A-Za-z0-9._/-]*[A-Za-z][A-Za-z0-9._/-]*")
_NO_NAMES = frozenset(("bash", "dash", "env", "exec", "flock", "if", "ionice", "nice", "set", "sh", "sudo", "timeout"))


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line that runs something, with everything that holds for it.

    ``tz`` None is the zone of the system. ``shell`` None is `SHELL_DEFAULT`. ``stdin`` is what followed the first
    ``%``. ``options`` is what an ``# outlast:`` line said. ``line`` counts from 1, and is 0 for what was never in a
    table.
    """

    expr: str
    command: str
    name: str
    tz: str | None = None
    stdin: str | None = None
    shell: str | None = None
    env: dict[str, str] = {}
    mailto: str | None = None
    comment: str = ""
    options: dict[str, str] = {}
    line: int = 0


class RefusedLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line that was not taken over: its number, its beginning as a safe literal, and why."""

    line: int
    text: str
    reason: str


class Crontab(msgspec.Struct, frozen=True, kw_only=True):
    """A table that was read. ``trailer`` are the comments below the last entry, ``notes`` what works differently."""

    entries: tuple[Entry, ...]
    refused: tuple[RefusedLine, ...] = ()
    notes: tuple[str, ...] = ()
    trailer: str = ""


def parse_crontab(text: str) -> Crontab:
    """Read a user's crontab. Wrong lines come back as ``refused``; the others are read all the same.

    Raises `BadInput` with the code ``bad_crontab`` for what is too large, or has so many wrong lines that it is none.
    """
    if len(text) > TEXT_MAX:
        raise BadInput(f"the table is longer than {TEXT_MAX} characters", code="bad_crontab")
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        reader.take(number, line.removesuffix("\r"))
    return Crontab(
        entries=tuple(reader.entries),
        refused=tuple(reader.refused),
        notes=tuple(reader.notes),
        trailer=reader.take_comment(),
    )


class _Reader:
    """What holds at a line of a table."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.refused: list[RefusedLine] = []
        self.notes: list[str] = []
        self.names: set[str] = set()
        self.turns: dict[str, int] = {}
        self.env: dict[str, str] = {}
        self.own: dict[str, str | None] = dict.fromkeys(OWN)
        self.broken: dict[str, int] = {}
        self.comment: list[str] = []
        self.options: dict[str, str] = {}

    def take(self, number: int, line: str) -> None:
        """Read one line; never raises but for a table that is none."""
        stripped = line.strip(" \t")
        if not stripped or stripped.startswith("#"):
            self._remark(stripped)
            return
        try:
            if len(line) > LINE_MAX:
                raise BadInput(f"is longer than {LINE_MAX} characters")
            if UNSAFE.search(stripped):
                raise BadInput("has a control character in it")
            setting = _SETTING.fullmatch(stripped)
            if setting:
                self._set(number, setting[1] or setting[2] or setting[3] or "", _unquoted(str(setting[4])))
            else:
                self._run(number, line.lstrip(" \t"))
        except BadInput as error:
            self._refuse(number, stripped, error.message)

    def take_comment(self) -> str:
        """Return the comments since the last entry, and forget them."""
        text = "\n".join(self.comment).strip("\n")
        self.comment = []
        return text

    def _remark(self, stripped: str) -> None:
        text = UNSAFE.sub("\ufffd", stripped[1:LINE_MAX].removeprefix(" "))
        if options := _OPTIONS.fullmatch(text):
            self.options = dict(word.split("=", 1) for word in options[1].split())
        elif stripped or (self.comment and self.comment[-1]):
            self.comment.append(text)

    def _refuse(self, number: int, text: str, reason: str) -> None:
        shown = repr(text[:60]) + ("…" if len(text) > 60 else "")
        self.refused.append(RefusedLine(line=number, text=shown, reason=reason))
        if len(self.refused) > REFUSED_MAX:
            first = self.refused[0]
            raise BadInput(
                f"more than {REFUSED_MAX} lines are wrong, the first is line {first.line}: {first.reason}",
                code="bad_crontab",
            )

    def _set(self, number: int, name: str, value: str) -> None:
        """Take a setting over; one that is wrong takes the entries below it along."""
        if name in self.own:
            self.broken[name] = number
            self._check_own(number, name, value)
            self.own[name] = value or None
            del self.broken[name]
        elif name in NOT_TAKEN:
            self.notes.append(f"line {number}: {name} is not taken over; cron alone knows what it means")
        elif not VARIABLE.fullmatch(name):
            raise BadInput("is neither an entry nor a setting: a name has letters, digits and _ only")
        elif len(self.env) >= SETTINGS_MAX and name not in self.env:
            raise BadInput(f"is one setting too many: at most {SETTINGS_MAX}")
        else:
            self.env = self.env | {name: value}
            if name == "TZ":
                self.notes.append(f"line {number}: TZ is handed to the commands; what moves the hours is CRON_TZ")

    def _check_own(self, number: int, name: str, value: str) -> None:
        if name == "CRON_TZ" and value:
            zone(value)
        elif name == "SHELL" and value and not value.startswith("/"):
            raise BadInput("SHELL is not a full path")
        elif name == "MAILTO" and value:
            self.notes.append(f"line {number}: MAILTO={value[:100]} is noted only; to tell somebody give a channel")

    def _run(self, number: int, line: str) -> None:
        """Take an entry over with the comments above it; those above one that is refused go to the next."""
        options, self.options = self.options, {}
        expr, command = _split(line)
        for name, where in self.broken.items():
            raise BadInput(f"{name} on line {where}, which holds for it, is wrong")
        if len(self.entries) >= ENTRIES_MAX:
            raise BadInput(f"is one entry too many: at most {ENTRIES_MAX}")
        cron.read(expr)
        command, stdin = _unescaped(command)
        if not command:
            raise BadInput("has no command")
        self.entries.append(
            Entry(
                expr=expr,
                command=command,
                stdin=stdin,
                name=self._name(number, options.get("name"), command),
                tz=self.own["CRON_TZ"],
                shell=None if self.own["SHELL"] == SHELL_DEFAULT else self.own["SHELL"],
                env=self.env,
                mailto=self.own["MAILTO"],
                comment=self.take_comment(),
                options=self._known(number, options),
                line=number,
            )
        )

    def _known(self, number: int, options: dict[str, str]) -> dict[str, str]:
        known = {}
        for key, value in options.items():
            try:
                if key != "name" and _option(key, value):
                    known[key] = value
            except BadInput as error:
                self.notes.append(f"line {number}: {key}={value[:100]} is not taken over: {error.message}")
        return known

    def _name(self, number: int, wanted: str | None, command: str) -> str:
        try:
            name = check_name(wanted) if wanted else _suggested(command)
        except BadInput:
            name = _suggested(command)
            self.notes.append(f"line {number}: the name cannot be used, so the entry is called {name}")
        base = name[:56]
        while name in self.names:
            self.turns[base] = self.turns.get(base, 1) + 1
            name = f"{base}-{self.turns[base]}"
        self.names.add(name)
        return name


def _split(line: str) -> tuple[str, str]:
    """Split an entry into its expression and what follows it."""
    fields = 1 if line.startswith("@") else 5
    parts = re.split(r"[ \t]+", line, maxsplit=fields)
    if len(parts) <= fields or not parts[-1]:
        raise BadInput("is neither an entry, five fields and a command, nor a setting")
    if fields == 5 and LIKE_A_FIELD.match(parts[-1]):
        raise BadInput("has more than five fields; a schedule with seconds cannot come from a crontab")
    return " ".join(parts[:-1]), parts[-1]


def _unescaped(command: str) -> tuple[str, str | None]:
    r"""Split at the first ``%`` into command and input, where every further one ends a line; ``\%`` is a plain one."""
    found = _PERCENT.search(command)
    if found is None:
        return command.replace("\\%", "%"), None
    stdin = _PERCENT.sub("\n", command[found.end() :]).replace("\\%", "%")
    return command[: found.start()].replace("\\%", "%"), stdin + ("\n" if stdin and not stdin.endswith("\n") else "")


def _unquoted(value: str) -> str:
    if value[:1] not in ("'", '"'):
        return value
    inner = value[1:-1]
    if len(value) < 2 or value[-1] != value[0] or value[0] in inner:
        raise BadInput("has a quote that is not closed")
    return inner


def _suggested(command: str) -> str:
    """Name an entry for the first word of its command that says something."""
    words = iter(_WORD.findall(command[:200]))
    for word in words:
        name: str = basename(word.rstrip("/")).partition(".")[0].strip("-_")[:40]
        if word == "cd":
            next(words, None)
        elif name and name not in _NO_NAMES and not word.startswith("-"):
            return name
    return "entry"


def settings_of(entry: Entry) -> dict[str, Any]:
    """Return the fields of a `Schedule` that an entry gives.

    The command runs as cron would run it, by the table's shell. ``tz`` is missing where the table names none.
    """
    notes = [entry.comment] if entry.comment else []
    if entry.mailto:
        notes.append(f"MAILTO={entry.mailto} when it was imported")
    argv = (entry.shell or SHELL_DEFAULT, "-c", entry.command)
    fields: dict[str, Any] = {
        "name": entry.name,
        "kind": Kind.CRON,
        "expr": entry.expr,
        "payload": CommandPayload(argv=argv, env=dict(entry.env), stdin=entry.stdin),
        "comment": "\n".join(notes) or None,
    }
    if entry.tz:
        fields["tz"] = entry.tz
    for key, value in entry.options.items():
        fields |= _option(key, value)
    return fields


def _option(key: str, value: str) -> dict[str, Any]:
    match key:
        case "misfire":
            policy, most = parse_misfire(value)
            return {"misfire": policy, "misfire_max": most}
        case "overlap" if value in list(Overlap):
            return {"overlap": Overlap(value)}
        case "jitter":
            return {"jitter_seconds": parse_duration(value)}
        case "timeout":
            return {"timeout_seconds": parse_duration(value)}
        case "retry" if re.fullmatch(r"[0-9]{1,3}", value):
            return {"retries": int(value)}
    raise BadInput("it is not known", code="bad_crontab")
