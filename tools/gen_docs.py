"""Write the reference pages that come from the code: the command line, the configuration, the errors, the schema of
flow files, and parts of the pages of tasks and flow files.

``gen_docs.py`` writes them; ``gen_docs.py --check`` exits with 1 and names the pages that are no longer true.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from outlast import config
from outlast.core import agent_config, errors, findings, lifecycle
from outlast.core.agent import AgentSpec, HeartbeatSpec
from outlast.core.durations import format_duration, format_size
from outlast.core.notification import told
from outlast.core.task import NotifyPolicy
from outlast.flows.files import fields, schema
from outlast.surfaces.cli import verbs
from outlast.surfaces.cli.spec import Argument, Option, Verb

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
STORE = ROOT / "src" / "outlast" / "store"
STORE_CODE = re.compile(r"store_[a-z_]+")
NOTE = "<!-- written by tools/gen_docs.py: change the code, then `make docs` -->\n"

CLI_INTRODUCTION = """\
`outlast COMMAND --help` says the same in the terminal. DURATION is seconds
(`90`), units from large to small (`2h30m`, `500ms`) or ISO (`PT20M`). SESSION is an id or a unique beginning
of one, at least four characters. TASK is an id, a unique beginning of one, the id of its session, or the key of a
conversation (its newest task). Commands that only look at tasks start no gateway: while none runs they read the
ledger themselves.

Exit codes: those of [errors](errors.md) when outlast itself has to refuse; 130 after Ctrl-C; 141 when the
reader of the output went away. `exec` and `attach` end with the command's own code: 128+n for signal n, 124
when a time limit ended it, 127 when it could not be started, 125 when its end is not known.

Environment: `OUTLAST_HOME` and `OUTLAST_CONFIG` choose [home and configuration](files.md); `OUTLAST_GATEWAY`
(like `--gateway`) and `OUTLAST_TOKEN` name another gateway [over TCP](http.md#tcp); `OUTLAST_REQUESTER` says for
whom a command acts that has `--as`, when that is not given. The turn of an agent has the key of its conversation
there, and so has what it starts ([why](agents.md#what-an-agent-starts-is-its-own)). `NO_COLOR` turns colours off.
"""

CONFIG_INTRODUCTION = """\
A setting comes from its environment variable, else from the [configuration file](files.md), else from its
default. `outlast config show` names the value in force and where it came from; `outlast config path` names the
file. An unknown key or an impossible value is an error at once: a policy that is misspelled must not be a policy
that is off. The gateway reads its settings when it starts (`outlast gateway restart`; sessions stay); of
[agents](#agents) alone it hears while it runs. Where the file is wrong while it runs it goes on as before, and so do
commands, which say so in one line; `outlast doctor` names what is wrong.

```toml
[exec]
mode = "allowlist"
allow = ["make *", "npm run *"]

[exec.requesters]
"agent:*" = "allowlist"
local = "full"
```
"""

AGENTS_INTRODUCTION = """\
## Agents

Each agent is a table of its own, named by letters, digits, `-` and `_`. Like a setting, a key that is not known or a
value that cannot be is an error at once.

A running gateway takes up what was added, changed or taken out: it looks at the file when an agent is asked for or
given a turn, and reads it again where it is another one. `outlast agents add` has it look at once, so that a heartbeat
begins. A turn under way stays what it was. With a file that is broken, empty or gone it goes on with the agents it
had; `GET /v1/agents` says why in `trouble`, and `outlast doctor` names the line.

```toml
[agents.coder]
backend = "acp"
command = ["claude-agent-acp"]

[agents.quick]
backend = "command"
command = ["codex", "exec", "--json", "{resume}", "{message}"]
resume = ["resume", "{session}"]
output = "codex-jsonl"

[agents.main]
backend = "model"
model = "openai:gpt-5"
tools = ["exec", "process", "tasks", "flow", "cron"]
heartbeat = { every = "30m", activeHours = "08:00-23:00", tz = "Europe/Berlin" }
```

In a `command` of backend `command` braces are gaps, and a brace that is meant as one is written twice: an item
`"--format={{json}}"` arrives as `--format={json}`. What fills a gap is never split or looked at for further ones;
[the rules](delivery.md#command) are those of wakes by command. `outlast agents show NAME` shows what holds for one.
"""

BEATS_INTRODUCTION = "Of the table `heartbeat`:\n"
AGENT_KEYS, BEAT_KEYS = agent_config.KEYS, agent_config.HEARTBEAT_KEYS

ERRORS_INTRODUCTION = """\
`{"error": {"code", "message", "hint"}}` on every surface. The *family* decides the exit code of the command
line and the HTTP status; the *code* is a stable word inside the family; the *hint*, when there is one, is the
next act.
"""


def cell(text: str) -> str:
    """Text for a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Render a Markdown table."""
    lines = [tuple(heads)]
    lines.append(("---",) * len(lines[0]))
    lines += [tuple(row) for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def usage(verb: Verb) -> str:
    """The first line of a command's help."""
    options = "[OPTIONS]" if verb.free_options else "[OPTIONS] [--]"
    return " ".join(["outlast", *verb.words, options, *map(argument_words, verb.arguments)])


def argument_words(argument: Argument) -> str:
    """An argument as the usage line shows it."""
    word = argument.kind.metavar + ("..." if argument.many else "")
    return word if argument.required else f"[{word}]"


def option_row(option: Option) -> tuple[str, str]:
    """An option's spellings with its value, and its help."""
    flags = ", ".join(sorted(option.flags, key=len))
    return f"`{cell(flags + (f' {option.kind.metavar}' if option.kind else ''))}`", cell(option.help)


def command_section(verb: Verb) -> str:
    """Everything about one command."""
    parts = [
        f"### outlast {' '.join(verb.words)}\n",
        f"```text\n{usage(verb)}\n```\n",
        f"{verb.help} {verb.details}".strip() + "\n",
    ]
    if verb.bare:
        parts.append(f"Also: `outlast {verb.words[0]}`.\n")
    if verb.alias:
        parts.append(f"Also: `outlast {verb.words[0]} {verb.alias}`.\n")
    shown = [option for option in verb.options if not option.hidden and option not in verbs.ASKED]
    if shown:
        parts.append(table(("option", "meaning"), map(option_row, shown)))
    shared = [f"`{option.flags[0]}`" for option in verb.options if option in verbs.ASKED]
    if shared:
        parts.append(f"And {', '.join(shared)}.\n")
    return "\n".join(parts)


def section_of(verb: Verb) -> str:
    """The heading a command stands under."""
    if verb in verbs.STARTERS:
        return "exec and run"
    return verb.words[0] if len(verb.words) > 1 else "Others"


def cli_page() -> str:
    """The page of every command with its usage, help and options."""
    shared = table(("shared option", "meaning"), map(option_row, verbs.ASKED))
    parts = ["# Command line\n", NOTE, CLI_INTRODUCTION, shared]
    group = None
    for verb in sorted(verbs.VERBS, key=lambda v: len(v.words) == 1 and v not in verbs.STARTERS):
        heading = section_of(verb)
        if heading != group:
            about = verbs.GROUPS.get(heading)
            parts.append(f"## {heading}\n" + (f"\n{about}\n" if about else ""))
            group = heading
        parts.append(command_section(verb))
    return "\n".join(parts)


def default(setting: config.Setting) -> str:
    """The default of a setting as one would write it in the file."""
    if isinstance(setting.default, tuple | Mapping):
        return "`[]`" if isinstance(setting.default, tuple) else "`{}`"
    if setting.key.endswith("_bytes") and isinstance(setting.default, int):
        return f"`{json.dumps(format_size(setting.default))}`"
    return f"`{json.dumps(setting.default)}`"


def config_page() -> str:
    """The page of every configuration key with its variable, what it takes and its default."""
    heads = ("key", "variable", "takes", "default", "meaning")
    rows = (
        (f"`{s.key}`", f"`{s.variable}`" if s.variable else "", cell(s.allowed), default(s), cell(s.help))
        for s in config.SETTINGS
    )
    settings = table(heads, rows)
    agents = table(("key", "for backend", "takes", "default", "meaning"), (agent_row(k, AgentSpec) for k in AGENT_KEYS))
    rows_of_beats = (agent_row(key, HeartbeatSpec) for key in BEAT_KEYS)
    beats = table(("key", "takes", "default", "meaning"), ((name, *rest) for name, _, *rest in rows_of_beats))
    return "\n".join(
        [
            "# Configuration\n",
            NOTE,
            CONFIG_INTRODUCTION,
            settings,
            AGENTS_INTRODUCTION,
            agents,
            BEATS_INTRODUCTION,
            beats,
        ]
    )


def agent_row(key: agent_config.Key, spec: type[AgentSpec | HeartbeatSpec]) -> tuple[str, str, str, str, str]:
    """A key of an agent's table: its name, for which backends it is, what it takes, its default, what it means."""
    every = key.backends == agent_config.BACKENDS
    backends = "all" if every else ", ".join(key.backends)
    return f"`{key.name}`", backends, cell(key.allowed), agent_default(key, spec), cell(key.help)


def agent_default(key: agent_config.Key, spec: type[AgentSpec | HeartbeatSpec]) -> str:
    """The default of a key of an agent's table, as one would write it in the file."""
    if key.name == "backend" or key.name in agent_config.NEEDED.values():
        return "must be given"
    if key.field == "hours":  # one key, two fields
        return '`""`'
    field = next(field for field in msgspec.structs.fields(spec) if field.name == key.field)
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "none"
    if key.field.endswith("_seconds"):
        return f"`{json.dumps(re.sub(' 00[a-z]', '', format_duration(value)))}`"
    return f"`{json.dumps(value)}`"


def raised_codes() -> dict[str, set[str]]:
    """Error codes by family, read from every place in the code that raises one."""
    found: dict[str, set[str]] = {family.__name__: {family.default_code} for family in errors.FAMILIES}
    for path in (ROOT / "src").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        if path.is_relative_to(STORE):
            found[errors.GatewayTrouble.__name__] |= set(filter(STORE_CODE.fullmatch, words(tree)))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "Denied":  # the policy's answer, which becomes a refusal
                found[errors.Refused.__name__] |= set(words(node.args[0]))
            for keyword in node.keywords:
                if name in found and keyword.arg == "code":
                    found[name] |= set(words(keyword.value))
    return found


def words(tree: ast.AST) -> Iterator[str]:
    """Every text in a piece of code, but for what a condition compares with."""
    if isinstance(tree, ast.IfExp):
        yield from words(tree.body)
        yield from words(tree.orelse)
    elif isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree.value
    else:
        for part in ast.iter_child_nodes(tree):
            yield from words(part)


def errors_page() -> str:
    """The page of error families and their codes."""
    codes = raised_codes()
    heads = ("family", "exit code", "HTTP", "may succeed unchanged later", "means", "codes")
    rows = (
        (
            f"`{family.__name__}`",
            str(family.exit_code),
            str(family.http_status),
            "yes" if family.retryable else "no",
            cell(family.__doc__ or ""),
            ", ".join(f"`{code}`" for code in sorted(codes[family.__name__])),
        )
        for family in errors.FAMILIES
    )
    return "\n".join(["# Errors\n", NOTE, ERRORS_INTRODUCTION, table(heads, rows)])


def chart_part() -> str:
    """The chart of moves."""
    return f"```mermaid\n{lifecycle.chart()}```\n"


def moves_part() -> str:
    """The table of moves, and under which policies each is told."""
    rows = []
    for move in lifecycle.TASK_MOVES.values():
        heard = [policy for policy in NotifyPolicy if any(policy in told(move.verb, target) for target in move.targets)]
        rows.append((f"`{move.verb}`", listed(move.sources), listed(move.targets), listed(heard)))
    return table(("move", "from", "to", "told under"), rows)


def listed(some: Iterable[str]) -> str:
    """Words of the code, as a list."""
    return ", ".join(f"`{word}`" for word in some)


ABOUT = {
    findings.Code.MISSING_LINKED_TASKS: "STEP",
    findings.Code.NO_WORKER: "outlast flow worker SOURCE",
    findings.Code.LOGIN_WANTED: "the login it told, else outlast agents check AGENT",
    findings.Code.PARKED_PERMISSION: "APPROVAL",
    findings.Code.FAILING_HEARTBEAT: "AGENT",
    findings.Code.STALE_BLOCKED: " (with --revision N where it is managed)",
}
"""What stands for what a finding is about."""


def findings_part() -> str:
    """The table of what an audit can find, worst first."""
    rows = (
        (
            f"`{code}`",
            kind.severity,
            f"after {kind.after_seconds / 60:g} min" if kind.after_seconds else "at once",
            cell(kind.fix.replace("{id}", "ID").replace("{about}", ABOUT.get(code, ""))),
        )
        for code, kind in findings.KINDS.items()
    )
    return table(("code", "severity", "counts", "what mends it"), rows)


PARTS: dict[str, Callable[[], str]] = {"chart": chart_part, "moves": moves_part, "findings": findings_part}
PART = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->\n)", re.S)


def fields_part(name: str) -> str:
    """The table of the fields that something in a flow file may have."""
    required = fields.REQUIRED.get(name, ())
    rows = (
        (
            f"`{field.name}`",
            cell(field.takes),
            cell(f"**Required.** {field.help}" if field.name in required else field.help),
            " ".join(f"`{act}`" for act in fields.ACTS if act in field.acts),
        )
        for field in fields.TABLES[name]
    )
    with_acts = any(field.acts for field in fields.TABLES[name]) and name == "step"
    heads = ("field", "takes", "meaning", "goes with")
    return table(heads, rows) if with_acts else table(heads[:3], (row[:3] for row in rows))


PARTS |= {f"fields_{name}": functools.partial(fields_part, name) for name in fields.TABLES}


def page_with_parts(name: str) -> str:
    """A page that is written by hand, but for the parts between ``made`` and ``end``."""
    text = (REFERENCE / name).read_text("utf-8")
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n{part[3]}", text)


PAGES = {
    "cli.md": cli_page,
    "config.md": config_page,
    "errors.md": errors_page,
    "flow-file.schema.json": schema.schema_text,
    "flow-files.md": functools.partial(page_with_parts, "flow-files.md"),
    "tasks.md": functools.partial(page_with_parts, "tasks.md"),
}


def stale() -> list[str]:
    """Names of the generated pages that differ from what the code says."""
    return [
        name
        for name, page in PAGES.items()
        if not (REFERENCE / name).is_file() or (REFERENCE / name).read_text("utf-8") != page()
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or only compare them."""
    if arguments == ["--check"]:
        names = stale()
        for name in names:
            print(f"docs/reference/{name} is not what the code says: run `make docs`", file=sys.stderr)
        return 1 if names else 0
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
