"""The commands of outlast, each with its words, options and one line of help."""

from __future__ import annotations

from outlast.surfaces.cli.spec import (
    BYTES,
    DURATION,
    PAIR,
    Argument,
    Option,
    Verb,
    choice,
    integer,
    text,
)

CLI = "outlast.surfaces.cli."
OFFSET_MAX = 10**15

GROUPS = {
    "process": "Watch and steer the sessions that exec started.",
    "gateway": "Run, start, stop or look at the gateway of this home.",
    "config": "Show the settings in force and where they come from.",
}

JSON = Option("--json", None, "Print JSON.")
GATEWAY = Option("--gateway", text("URL"), "Use the gateway at http://HOST:PORT (also OUTLAST_GATEWAY).")
AS = Option("--as", text("KEY"), "Act as this requester: sees its own sessions only.", name="requester")
COMMON = (JSON, GATEWAY)
ASKED = (AS, JSON, GATEWAY)

RAW = Option("--raw", None, "Keep terminal escape sequences and other control bytes.")
COLS = Option("--cols", integer(1, 1000), "Width of the terminal, in columns.")
ROWS = Option("--rows", integer(1, 1000), "Height of the terminal, in rows.")
DETACH_KEY = Option("--detach-key", text("KEY"), "The key that detaches, default C-].")
SESSION = Argument("session", text("SESSION"), complete="session")
MAX_BYTES = Option("--max-bytes", integer(1, 1_048_576), "Show at most this much output, default 65536.")
PORT = integer(1, 65_535, "PORT")

EXEC = Verb(
    "exec",
    CLI + "exec:run",
    "Run a command in a session that outlives this call.",
    arguments=(Argument("command", text("COMMAND"), many=True),),
    options=(
        Option("--yield", DURATION, "Wait this long; still running: print its id and return."),
        Option("--background/-b", None, "Return at once with the session's id."),
        Option("--detach", None, "Like --background, until there is a ledger to record it in."),
        Option("--timeout", DURATION, "End the command after this time in all."),
        Option("--idle-timeout", DURATION, "End the command after this time without output."),
        Option("--pty/-t", None, "Run it in a terminal of its own."),
        COLS,
        ROWS,
        DETACH_KEY,
        Option("--stdin/-i", None, "Forward this call's input; in the background keep input open for write."),
        Option("--stdin-text", text(), "Feed this text as input, then close it."),
        Option("--workdir/-C", text("DIR"), "Run it in this directory."),
        Option("--env/-e", PAIR, "Set a variable for the command (repeat).", many=True),
        Option("--ready-pattern", text("RE"), "Return when this appears in the output."),
        Option("--ready-port", PORT, "Return when this TCP port accepts connections."),
        Option("--leftovers", choice("keep", "kill"), "What to do with processes the command leaves behind."),
        Option("--title", text(), "A title, at most 200 characters."),
        Option("--label", text(), "A label (repeat, at most 16).", many=True),
        Option("--allow-duplicate", None, "Start it even if the same command runs here already."),
        Option("--grace", DURATION, "Time between SIGTERM and SIGKILL, default 5s."),
        Option("--streams", choice("apart", "merged"), "Tell stdout and stderr apart, or not."),
        *ASKED,
    ),
    details=(
        "One word is a line for the shell, several are the program and its arguments. Without --yield or "
        "--background the output appears as it comes and the exit code is the command's own (128+n for "
        "signal n, 124 for a time limit). Ctrl-C interrupts the command, three in a row end it; closing the "
        "terminal only detaches."
    ),
    free_options=False,
)

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
        options=(
            Option("--follow/-f", None, "Go on with what comes, to the end."),
            Option(
                "--offset",
                integer(-OFFSET_MAX, OFFSET_MAX, "LINE"),
                "First line, from 0; negative: from the end.",
            ),
            Option("--limit", integer(1, 1_000_000), "How many lines, default 200."),
            Option("--tail/-n", integer(1, 1_000_000), "The last lines."),
            Option("--bytes", BYTES, "A range of bytes."),
            Option("--stream", choice("stdout", "stderr"), "One stream only."),
            RAW,
            *ASKED,
        ),
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
    Verb("status", CLI + "gateway:overview", "Show gateway, keeper and sessions at a glance.", options=COMMON),
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

VERBS = (EXEC, *PROCESS, *OTHERS)
_BY_WORDS = {verb.words: verb for verb in VERBS}


def find(words: list[str]) -> Verb | None:
    """Return the command the first words name, an alias included; None when they name none."""
    verb = _BY_WORDS.get(tuple(words[:1])) or _BY_WORDS.get(tuple(words[:2]))
    if verb is None and len(words) > 1:
        return next((verb for verb in VERBS if verb.alias == words[1] and verb.words[0] == words[0]), None)
    return verb
