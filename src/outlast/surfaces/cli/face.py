"""The same commands as click commands: for help pages, completion, and lines that are not right."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, shell_complete

from outlast.core.errors import BadInput, OutlastError
from outlast.surfaces.cli.output import safe
from outlast.surfaces.cli.spec import FLOW, LOOKUP, Argument, Kind, Option, Parsed, Verb
from outlast.surfaces.cli.verbs import GROUPS, VERBS, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from outlast.surfaces.cli.context import StoreReader

    Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem[Any]]]

PROGRAM = "outlast"
COMPLETE_VARIABLE = "_OUTLAST_COMPLETE"
SUMMARY = "Work that outlasts the chat turn, the terminal and the restart."


def read(words: list[str]) -> Parsed | int:
    """Read a command line with click: the command, or the exit code after help; raises BadInput."""
    try:
        result = root().main(_spelled_out(words), prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return BadInput.exit_code
    except click.UsageError as error:
        raise _bad_input(error) from error
    except click.exceptions.Abort as error:
        raise KeyboardInterrupt from error
    if isinstance(result, Parsed):
        return result
    return result if isinstance(result, int) else 0


def _spelled_out(words: list[str]) -> list[str]:
    """Give options that may stand alone the value they have then: click would take the next word for it."""
    found = split(words)
    if found is None:
        return words
    alone = {flag: option.bare for flag, option in found[0].flags.items() if option.bare is not None}
    end = words.index("--") if "--" in words else len(words)
    return [f"{word}={alone[word]}" if i < end and word in alone else word for i, word in enumerate(words)]


def complete(instruction: str, answer_offline: StoreReader | None = None) -> int:
    """Answer a shell that asks for completions, or for the script that makes it ask."""
    if os.environ.get("COMP_CWORD") == "-1":
        from outlast.surfaces.cli.bash_completion import last_word

        os.environ["COMP_CWORD"] = str(last_word(os.environ.get("COMP_WORDS", "")))
    return shell_complete(root(), {"obj": answer_offline}, PROGRAM, COMPLETE_VARIABLE, instruction)


def source(shell: str) -> str:
    """The completion script of bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    if shell == "bash":
        from outlast.surfaces.cli.bash_completion import SCRIPT

        return SCRIPT
    kind = get_completion_class(shell)
    if kind is None:
        raise BadInput(f"no completion for {shell!r}")
    maker = kind(root(), {}, PROGRAM, COMPLETE_VARIABLE)
    return maker.source_template % maker.source_vars()


def _bad_input(error: click.UsageError) -> BadInput:
    message = error.format_message().rstrip(".")
    hint = None
    if error.ctx is not None:
        hint = f"see: {error.ctx.command_path} --help"
    return BadInput(message[:1].lower() + message[1:], code="usage", hint=hint)


class _Type(click.ParamType[Any]):
    """A kind as a click type."""

    def __init__(self, kind: Kind) -> None:
        self.name = kind.metavar
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        if not isinstance(value, str):
            return value
        try:
            return self._kind.convert(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        except OutlastError as error:
            named = f"{param.opts[-1]}: {error.message}" if param is not None else error.message
            raise BadInput(named, code=error.code, hint=error.hint) from error

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        before, comma, last = incomplete.rpartition(",") if "," in self._kind.metavar else ("", "", incomplete)
        return [CompletionItem(f"{before}{comma}{word}") for word in self._kind.choices if word.startswith(last)]


class _Group(click.Group):
    """A group that lists its commands in the order of the tables, finds aliases, and may stand for one of them."""

    path: tuple[str, ...] = ()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is not None or not self.path:
            return found
        verb = next((verb for verb in VERBS if verb.alias == cmd_name and verb.words[:-1] == self.path), None)
        return None if verb is None else super().get_command(ctx, verb.words[-1])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        bare = self._bare()
        option = bool(args) and args[0].startswith("-") and args[0] not in ctx.help_option_names
        if bare is not None and (not args or option) and not ctx.resilient_parsing:
            args = [bare, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        found = super().shell_complete(ctx, incomplete)
        bare = self._bare()
        if bare is not None and incomplete.startswith("-"):
            found += self.commands[bare].shell_complete(ctx, incomplete)
        return found

    def _bare(self) -> str | None:
        """The command that the group alone stands for."""
        return next((verb.words[-1] for verb in VERBS if verb.bare and verb.words[:-1] == self.path), None)


def root() -> click.Group:
    """Build the whole command tree."""
    context = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    top = _Group(PROGRAM, help=SUMMARY, context_settings=context, invoke_without_command=False)
    top.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Print the version.",
        )
    )
    for verb in VERBS:
        group = top
        for word in verb.words[:-1]:
            group = _subgroup(group, word)
        group.add_command(_command(verb), verb.words[-1])
    return top


def _subgroup(above: _Group, name: str) -> _Group:
    found = above.commands.get(name)
    if isinstance(found, _Group):
        return found
    path = (*above.path, name)
    group = _Group(name, help=GROUPS[" ".join(path)])
    group.path = path
    above.add_command(group, name)
    return group


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from outlast._version import __version__

        click.echo(__version__)
        ctx.exit()


def _command(verb: Verb) -> click.Command:
    def callback(**values: Any) -> Parsed:  # noqa: ANN401
        many = {option.name for option in verb.options if option.many}
        many |= {argument.name for argument in verb.arguments if argument.many}
        return Parsed(verb, {name: list(value) if name in many else value for name, value in values.items()})

    params: list[click.Parameter] = [_argument(argument) for argument in verb.arguments]
    params += [_option(option) for option in verb.options]
    return click.Command(
        verb.words[-1],
        params=params,
        callback=callback,
        help=f"{verb.help}\n\n{verb.details}" if verb.details else verb.help,
        short_help=verb.help,
        options_metavar="[OPTIONS]" if verb.free_options else "[OPTIONS] [--]",
        context_settings={"allow_interspersed_args": verb.free_options},
    )


def _option(option: Option) -> click.Option:
    names = [option.name, *option.flags]
    if option.kind is None:
        return click.Option(names, is_flag=True, default=False, help=option.help, hidden=option.hidden)
    return click.Option(
        names,
        type=_Type(option.kind),
        multiple=option.many,
        default=None,
        help=option.help,
        hidden=option.hidden,
        metavar=option.kind.metavar,
        shell_complete=_COMPLETIONS.get(option.complete or _OF_KIND.get(option.kind, "")),
    )


def _argument(argument: Argument) -> click.Argument:
    return click.Argument(
        [argument.name],
        type=_Type(argument.kind),
        required=argument.required,
        nargs=-1 if argument.many else 1,
        metavar=_metavar(argument),
        shell_complete=_COMPLETIONS.get(argument.complete),
    )


def _metavar(argument: Argument) -> str:
    word = argument.kind.metavar + ("..." if argument.many else "")
    return word if argument.required else f"[{word}]"


def _complete_sessions(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """List the sessions whose id begins like this; nothing at all when there is no gateway to ask."""
    from outlast.client import Client
    from outlast.config import find_paths
    from outlast.surfaces.cli.context import Place, own_requester

    try:
        place, requester = Place(find_paths(os.environ)), own_requester()
        found = Client(place, requester=requester, autostart=False).get("/v1/sessions", limit=200)
    except OutlastError:
        return []
    items = ((row["sessionId"], f"{row['status']}: {row.get('title') or row['command']}") for row in found["sessions"])
    return _items(items, incomplete)


def _complete_agents(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """List the configured agents whose name begins like this; no gateway is asked."""
    from outlast.config import load
    from outlast.core.redact import redact_argv

    try:
        agents = load(os.environ).agents
    except OutlastError:
        return []
    rows = ((name, f"{one.backend}: {one.model or ' '.join(redact_argv(one.command))}") for name, one in agents.items())
    return _items(rows, incomplete)


def _complete_conversations(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """List where agents speak: in their main conversations, in those of the newest turns, and where something waits."""
    from outlast.core.agent import main_conversation

    found: dict[str, str] = {}
    for agent in _complete_agents(ctx, _param, ""):
        found[main_conversation(agent.value)] = f"main of {agent.value}"
    for row in _turns(ctx):
        found.setdefault(row["conversation"], row["title"] or row["status"])
    for item in _COMPLETIONS["conversation"](ctx, _param, incomplete):
        found.setdefault(item.value, item.help or "")
    return _items(found.items(), incomplete)


def _complete_turns(status: str | None = None) -> Completion:
    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """List the turns of agents whose id begins like this."""
        return _items(((row["taskId"], f"{row['status']}: {row['title']}") for row in _turns(ctx, status)), incomplete)

    return complete


def _turns(ctx: click.Context, status: str | None = None) -> list[dict[str, Any]]:
    """Return the newest turns of agents, with or without a gateway to ask."""
    from outlast.core.task import AGENTS

    found = [
        row
        for runtime in AGENTS
        for row in _ask(ctx, "tasks.list", "/v1/tasks", "tasks", runtime=runtime.value, status=status, limit=200)
    ]
    return sorted(found, key=lambda row: str(row["createdAt"]), reverse=True)


def _ask(ctx: click.Context, act: str, path: str, rows: str, **query: object) -> list[dict[str, Any]]:
    from outlast.surfaces.cli.context import Call

    call = Call({"requester": None}, answer_offline=ctx.find_root().obj)
    try:
        found: list[dict[str, Any]] = call.read(act, path, None, **query)[rows]
    except OutlastError:
        return []
    return found


def _from_records(
    act: str, path: str, rows: str, id: str, about: Callable[[dict[str, Any]], str], limit: int | None = None
) -> Completion:
    """List what is on record and begins like this, with or without a gateway to ask."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        return _items(((row[id], about(row)) for row in _ask(ctx, act, path, rows, limit=limit)), incomplete)

    return complete


def _items(rows: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem[Any]]:
    """The ids that fit, each with a line about it."""
    return [
        CompletionItem(id, help=safe(" ".join(about[:200].split()))[:60])
        for id, about in rows
        if id.startswith(incomplete)
    ]


_COMPLETIONS: dict[str, Completion] = {
    "agent": _complete_agents,
    "turn": _complete_turns(),
    "live-turn": _complete_turns("queued,running"),
    "running-turn": _complete_turns("running"),
    "talk": _complete_conversations,
    "session": _complete_sessions,
    "task": _from_records(
        "tasks.list",
        "/v1/tasks",
        "tasks",
        "taskId",
        lambda row: f"{row['status']}: {row.get('label') or row['command'] or row.get('title')}",
        limit=200,
    ),
    "flow": _from_records(
        "flow.list",
        "/v1/flows",
        "flows",
        "flowId",
        lambda row: f"{row['status']}: {row.get('label') or row['name']}",
        limit=200,
    ),
    "schedule": _from_records(
        "cron.list", "/v1/cron", "schedules", "name", lambda row: f"{row['status']}: {row['words']}", limit=1000
    ),
    "conversation": _from_records(
        "conversations.list",
        "/v1/conversations",
        "conversations",
        "conversation",
        lambda row: f"{row['waiting']} waiting",
        limit=1000,
    ),
    "approval": _from_records(
        "approvals.list",
        "/v1/approvals",
        "approvals",
        "approvalId",
        lambda row: f"{row['status']}: {row['prompt']}",
        limit=200,
    ),
    "heartbeat": _from_records(
        "heartbeat.status", "/v1/heartbeat", "heartbeats", "agent", lambda row: f"{row['state']}: {row['reason']}"
    ),
    "wake": _from_records(
        "wake.list", "/v1/wakes", "wakes", "wakeId", lambda row: f"{row['conversation']}: {row['channel']}"
    ),
}
_OF_KIND: dict[Kind | None, str] = {LOOKUP: "task", FLOW: "flow"}
