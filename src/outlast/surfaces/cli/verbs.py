"""The commands of outlast, each with its words, options and one line of help."""

from __future__ import annotations

from outlast.surfaces.cli.options import (
    ASKED,
    CLI,
    COLS,
    COMMON,
    DETACH_KEY,
    JSON,
    LOG_OPTIONS,
    MAX_BYTES,
    OFFSET_MAX,
    PORT,
    RAW,
    ROWS,
    SESSION,
)
from outlast.surfaces.cli.spec import DURATION, Argument, Option, Verb, choice, integer, text
from outlast.surfaces.cli.verbs_agents import AGENT_VERBS
from outlast.surfaces.cli.verbs_approvals import APPROVAL_VERBS
from outlast.surfaces.cli.verbs_cron import CRON_VERBS
from outlast.surfaces.cli.verbs_exec import EXEC, RUN
from outlast.surfaces.cli.verbs_flow import FLOW_VERBS
from outlast.surfaces.cli.verbs_heartbeat import HEARTBEAT_VERBS
from outlast.surfaces.cli.verbs_tasks import BACKUP, EXPLAIN, TASK_VERBS
from outlast.surfaces.cli.verbs_told import TOLD_VERBS

GROUPS = {
    "tasks": "The ledger: what recorded work ran, for whom, how it ended. Alone: list.",
    "tasks report": "Report work that runs elsewhere.",
    "cron": "Work to come: what runs when, and what became of it. Alone: list.",
    "approvals": "What waits for somebody's yes or no. Alone: list.",
    "conversations": "Who asked, and what they have yet to hear. Alone: list.",
    "wake": "How a conversation is woken when there is something to hear. Alone: list.",
    "notifications": "Notices on their way, delivered, or given up. Alone: list.",
    "heartbeat": "Agents that look around by themselves: when next, and what became of it. Alone: status.",
    "system": "Speak to a conversation by hand.",
    "flow": "Several steps over time: what runs, what it waits for, what became of it. Alone: list.",
    "agents": "The configured agents: which there are, what each can do. Alone: list.",
    "agent": "Give an agent a turn.",
    "subagents": "Agents that do something for somebody, in conversations of their own. Alone: list.",
    "process": "Watch and steer the sessions that exec started.",
    "gateway": "Run, start, stop or look at the gateway of this home.",
    "config": "Show the settings in force and where they come from.",
}

PROCESS = (
    Verb(
        "process list",
        CLI + "process:list_sessions",
        "List sessions, the running ones first.",
        options=(
            Option("--status", choice("running", "ended", "all"), "Only these, default all."),
            Option("--limit", integer(1, 1000), "At most this many, default 50."),
            Option("--before", text("SESSION"), "The page after this session."),
            *ASKED,
        ),
    ),
    Verb(
        "process poll",
        CLI + "process:poll",
        "Show what is new since the last poll, and how the session stands.",
        arguments=(SESSION,),
        options=(
            Option("--since", integer(0, OFFSET_MAX, "BYTE"), "Start at this offset instead."),
            Option("--reader", text("NAME"), "Whose place to keep."),
            Option("--timeout", DURATION, "Wait this long for news, at most 10m."),
            MAX_BYTES,
            RAW,
            *ASKED,
        ),
    ),
    Verb(
        "process log",
        CLI + "log:run",
        "Show output by lines or bytes; -f follows it.",
        arguments=(SESSION,),
        options=LOG_OPTIONS,
        alias="logs",
    ),
    Verb(
        "process wait",
        CLI + "wait:run",
        "Wait for an exit, a text, a port or quiet.",
        arguments=(Argument("sessions", text("SESSION"), many=True, complete="session"),),
        options=(
            Option("--exit", None, "Until it has ended (the default)."),
            Option("--pattern", text("RE"), "Until this regular expression is in the output."),
            Option("--port", PORT, "Until this TCP port accepts connections."),
            Option("--quiet", DURATION, "Until nothing was printed for this long."),
            Option("--timeout", DURATION, "Give up after this time, default 10m, at most 24h."),
            Option("--since", integer(0, OFFSET_MAX, "BYTE"), "Look for the pattern from this offset on."),
            Option("--all", None, "Of several sessions wait for all, not for the first."),
            *ASKED,
        ),
        details="Exit code 0 when it happened, 124 when the time ran out, 1 when it can no longer happen.",
    ),
    Verb(
        "process write",
        CLI + "process:write",
        "Write to the input of a session.",
        arguments=(SESSION, Argument("data", text("TEXT"), required=False)),
        options=(
            Option("--eof", None, "Close the input afterwards."),
            Option("--literal/-l", None, "Take backslashes in TEXT as they are."),
            *ASKED,
        ),
        details=r"TEXT understands \n \r \t \e \0 \\ and \xNN. With -, or with neither TEXT nor --eof, "
        "standard input is sent as it is.",
    ),
    Verb(
        "process send-keys",
        CLI + "process:send_keys",
        "Press keys: Enter, C-c, Up, F5, M-x, or text.",
        arguments=(SESSION, Argument("keys", text("KEY"), many=True)),
        options=(
            Option("--literal/-l", None, "Take every KEY as text."),
            Option("--hex/-H", None, "Take every KEY as a byte in hex."),
            *ASKED,
        ),
    ),
    Verb(
        "process paste",
        CLI + "process:paste",
        "Paste text, bracketed when the program asked for that.",
        arguments=(SESSION, Argument("text", text(), required=False)),
        options=(
            Option("--bracketed", None, "Bracket it in any case."),
            Option("--plain", None, "Never bracket it."),
            *ASKED,
        ),
        details="Without TEXT, or with -, standard input is pasted.",
    ),
    Verb(
        "process submit",
        CLI + "process:submit",
        "Type text and press Enter.",
        arguments=(SESSION, Argument("text", text(), required=False)),
        options=ASKED,
    ),
    Verb(
        "process screen",
        CLI + "process:screen",
        "Show the present screen of a terminal session as text.",
        arguments=(SESSION,),
        options=(COLS, ROWS, *ASKED),
    ),
    Verb(
        "process resize",
        CLI + "process:resize",
        "Change the size of a terminal session.",
        arguments=(
            SESSION,
            Argument("cols", integer(1, 1000, "COLS")),
            Argument("rows", integer(1, 1000, "ROWS")),
        ),
        options=ASKED,
    ),
    Verb(
        "process attach",
        CLI + "attach:run",
        "Take part in a session from this terminal; C-] detaches.",
        arguments=(SESSION,),
        options=(DETACH_KEY, *ASKED),
        details="The exit code is the command's own, 0 after detaching.",
    ),
    Verb(
        "process signal",
        CLI + "process:signal_session",
        "Send a signal: HUP, SIGHUP or 1.",
        arguments=(SESSION, Argument("signal", text("SIGNAL"))),
        options=(
            Option("--tree", None, "To every process of the session."),
            Option("--foreground", None, "To the foreground group, as Ctrl-C does."),
            *ASKED,
        ),
    ),
    Verb(
        "process kill",
        CLI + "process:kill",
        "End a session with all its processes and list them.",
        arguments=(SESSION,),
        options=(
            Option("--signal", text("SIGNAL"), "The first signal, default TERM."),
            Option("--grace", DURATION, "Time before SIGKILL, default 5s."),
            *ASKED,
        ),
    ),
    Verb(
        "process clear",
        CLI + "process:clear",
        "Forget every ended session and its output.",
        options=ASKED,
    ),
    Verb(
        "process remove",
        CLI + "process:remove",
        "Forget one ended session and its output.",
        arguments=(SESSION,),
        options=ASKED,
    ),
)

LISTEN = Option("--listen", text("HOST:PORT"), "Listen on this TCP address as well.")
ALLOW_REMOTE = Option("--allow-remote", None, "Let it listen on an address other machines can reach.")
KILL_SESSIONS = Option("--kill-sessions", None, "End all running sessions too.")

OTHERS = (
    Verb(
        "tool",
        CLI + "tool:run",
        "Make a tool call: JSON in (argument or standard input), JSON out.",
        arguments=(Argument("call", text("JSON"), required=False),),
        options=ASKED,
    ),
    Verb(
        "gateway run",
        CLI + "gateway:run",
        "Run the gateway here, in the foreground.",
        options=(
            LISTEN,
            ALLOW_REMOTE,
            Option("--ready-fd", integer(0, 65_535), "Write `ready` to this descriptor.", hidden=True),
            JSON,
        ),
    ),
    Verb(
        "gateway start",
        CLI + "gateway:start",
        "Start the gateway unless it runs.",
        options=(LISTEN, ALLOW_REMOTE, JSON),
    ),
    Verb(
        "gateway stop",
        CLI + "gateway:stop",
        "Stop the gateway; sessions go on.",
        options=(KILL_SESSIONS, *COMMON),
    ),
    Verb(
        "gateway restart",
        CLI + "gateway:restart",
        "Stop and start the gateway; sessions go on.",
        options=(LISTEN, ALLOW_REMOTE, JSON),
    ),
    Verb(
        "gateway status",
        CLI + "gateway:status",
        "Show the gateway; exit code 3 when it is down.",
        options=COMMON,
    ),
    Verb("status", CLI + "gateway:overview", "Show gateway, keeper, sessions and tasks at a glance.", options=COMMON),
    EXPLAIN,
    BACKUP,
    Verb("doctor", CLI + "doctor:run", "Check this installation; every finding names its mend.", options=COMMON),
    Verb(
        "config show",
        CLI + "admin:config_show",
        "Show every setting, its value and its source.",
        options=(JSON,),
    ),
    Verb("config path", CLI + "admin:config_path", "Print the path of the config file.", options=(JSON,)),
    Verb(
        "completion",
        CLI + "admin:completion",
        "Print the completion script of a shell.",
        arguments=(Argument("shell", choice("bash", "zsh", "fish")),),
        options=(JSON,),
    ),
    Verb("version", CLI + "admin:version", "Print the version.", options=(JSON,)),
)

STARTERS = (EXEC, RUN)
VERBS = (
    *STARTERS,
    *PROCESS,
    *TASK_VERBS,
    *APPROVAL_VERBS,
    *CRON_VERBS,
    *FLOW_VERBS,
    *AGENT_VERBS,
    *TOLD_VERBS,
    *HEARTBEAT_VERBS,
    *OTHERS,
)
DEPTH_MAX = 3
_BY_WORDS = {verb.words: verb for verb in VERBS}
_BY_WORDS |= {(*verb.words[:-1], verb.alias): verb for verb in VERBS if verb.alias}
_BARE = {verb.words[0]: verb for verb in VERBS if verb.bare}


def split(words: list[str]) -> tuple[Verb, list[str]] | None:
    """Return the command that the first words name and the words after it; None when they name none.

    An alias names it too, and the group alone does when one of its commands is ``bare``.
    """
    for depth in range(1, DEPTH_MAX + 1):
        verb = _BY_WORDS.get(tuple(words[:depth]))
        if verb is not None:
            return verb, words[depth:]
    bare = _BARE.get(words[0]) if words else None
    if bare is None or (len(words) > 1 and not words[1].startswith("-")):
        return None
    return bare, words[1:]
