"""Schedules as a crontab: what cron can say is written so that it runs the same, the rest as comments that say why.

The line ``CRON_TZ`` is understood by cronie and by `crontab.parse_crontab`; Debian's cron knows one zone for the
whole machine and ignores it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from outlast.core.errors import BadInput
from outlast.core.schedule import CommandPayload, Kind, Misfire, Overlap, Schedule
from outlast.scheduler import cron
from outlast.scheduler.crontab import LIKE_A_FIELD, LINE_MAX, NOT_TAKEN, OWN, SHELL_DEFAULT, UNSAFE, VARIABLE, Entry

_Own = dict[str, str | None]


def entry_of(schedule: Schedule) -> Entry:
    """Return a schedule as an entry, or raise `BadInput` with the code ``no_crontab`` and what a crontab cannot say."""
    payload = schedule.payload
    if schedule.kind is not Kind.CRON:
        raise _unsaid(f"a crontab has no words for a schedule of the kind {schedule.kind}")
    if cron.read(schedule.expr).six:
        raise _unsaid("a crontab has no seconds")
    if not isinstance(payload, CommandPayload):
        raise _unsaid("a crontab runs commands only")
    shell, command = None, payload.command or ""
    if payload.argv is not None:
        command = shlex.join(payload.argv)
        if len(payload.argv) == 3 and payload.argv[1] == "-c" and payload.argv[0].startswith("/"):
            shell, _, command = payload.argv
    if payload.workdir is not None:  # a crontab names no directory: its line goes there, or does nothing
        command = f"cd {shlex.quote(payload.workdir)} || exit; {command}"
    return Entry(
        expr=schedule.expr,
        command=command,
        name=schedule.name,
        tz=schedule.tz,
        stdin=payload.stdin,
        shell=None if shell == SHELL_DEFAULT else shell,
        env=payload.env,
        comment=schedule.comment or "",
        options=_options_of(schedule),
    )


def _options_of(schedule: Schedule) -> dict[str, str]:
    options: dict[str, str] = {}
    if schedule.misfire is not Misfire.ONCE:
        most = f":{schedule.misfire_max}" if schedule.misfire is Misfire.ALL else ""
        options["misfire"] = f"{schedule.misfire}{most}"
    if schedule.overlap is not Overlap.SKIP:
        options["overlap"] = str(schedule.overlap)
    if schedule.jitter_seconds:
        options["jitter"] = f"{schedule.jitter_seconds:.3f}"
    if schedule.timeout_seconds is not None:
        options["timeout"] = f"{schedule.timeout_seconds:.3f}"
    if schedule.retries:
        options["retry"] = str(schedule.retries)
    return options


def format_crontab(entries: Iterable[Entry], trailer: str = "", unsaid: Mapping[str, str] | None = None) -> str:
    """Write a table. Entries that a crontab cannot say, and those named in ``unsaid``, become comments with the reason.

    `parse_crontab` reads the same entries back.
    """
    lines: list[str] = []
    own: _Own = dict.fromkeys(OWN)
    env: dict[str, str] = {}
    for entry in entries:
        lines += _comment(entry.comment)
        try:
            written, own, env = _written(entry, own, env)
            lines += written
        except BadInput as error:
            lines += _comment(f"{entry.name!r} is not written: {error.message}")
        lines.append("")
    for name, reason in (unsaid or {}).items():
        lines += _comment(f"{name!r} is not written: {reason}")
    return "\n".join([*lines, *_comment(trailer)]).rstrip("\n") + "\n"


def _written(entry: Entry, own: _Own, env: dict[str, str]) -> tuple[list[str], _Own, dict[str, str]]:
    """Return the lines of an entry and what holds after them."""
    wanted: _Own = {"CRON_TZ": entry.tz, "SHELL": entry.shell, "MAILTO": entry.mailto}
    plain = {"SHELL": SHELL_DEFAULT}
    settings = {name: value or plain.get(name, "") for name, value in wanted.items() if value != own[name]}
    if any(name in (*OWN, *NOT_TAKEN) or not VARIABLE.fullmatch(name) for name in entry.env):
        raise _unsaid("one of its variables has a name that cron reads differently")
    settings |= {name: value for name, value in entry.env.items() if env.get(name) != value}
    gone = sorted(env.keys() - entry.env.keys())
    command = (f"unset {' '.join(gone)}; " if gone else "") + entry.command
    run = f"{' '.join(entry.expr.split())} {_escaped(command, entry.stdin)}"
    lines = [_options(entry), *(f"{name}={_quoted(name, value)}" for name, value in settings.items()), run]
    if any(len(line) > LINE_MAX or UNSAFE.search(line) for line in lines):
        raise _unsaid("it is too long for a crontab, or has a control character or an end of line in it")
    return lines, wanted, env | entry.env


def _comment(text: str) -> list[str]:
    return [f"# {UNSAFE.sub(chr(0xFFFD), line)}".rstrip(" ") for line in text.split("\n")] if text else []


def _options(entry: Entry) -> str:
    words = {"name": entry.name, **entry.options}
    return "# outlast: " + " ".join(f"{key}={value}" for key, value in words.items())


def _escaped(command: str, stdin: str | None) -> str:
    """Write command and input as the rest of an entry, or raise `BadInput` when cron would read it differently."""
    if not command.strip(" \t") or command[0] in " \t" or LIKE_A_FIELD.match(command):
        raise _unsaid("a crontab cannot hold a command that is empty or begins like a field")
    line = command.replace("%", "\\%")
    if stdin is None:
        return line
    if stdin and not stdin.endswith("\n"):
        raise _unsaid("cron ends the input of a command with a newline")
    body = stdin if stdin.endswith("\n\n") or stdin == "\n" else stdin[:-1]
    if command.endswith("\\") or "\\\n" in stdin:
        raise _unsaid("cron would read the backslash at the end of a line as part of the %")
    return f"{line}%" + body.replace("%", "\\%").replace("\n", "%")


def _quoted(name: str, value: str) -> str:
    if value and value == value.strip(" \t") and value[0] not in "\"'":
        return value
    quote = "'" if '"' in value else '"'
    if quote in value:
        raise _unsaid(f"cron has no way to write the value of {name}")
    return f"{quote}{value}{quote}"


def _unsaid(reason: str) -> BadInput:
    return BadInput(reason, code="no_crontab")
