"""The commands that start something: ``exec``, and ``run``, which is short for ``exec --detach``."""

from __future__ import annotations

from outlast.surfaces.cli.options import ASKED, CLI, COLS, DETACH_KEY, NOTIFY, PORT, ROWS
from outlast.surfaces.cli.spec import DURATION, LOOKUP, PAIR, Argument, Option, Verb, choice, integer, text

COMMAND = Argument("command", text("COMMAND"), many=True)

COMMAND_OPTIONS = (
    Option("--timeout", DURATION, "End the command after this time in all."),
    Option("--idle-timeout", DURATION, "End the command after this time without output."),
    Option("--pty/-t", None, "Run it in a terminal of its own."),
    COLS,
    ROWS,
    Option("--stdin/-i", None, "Forward this call's input; in the background keep input open for write."),
    Option("--stdin-text", text(), "Feed this text as input, then close it."),
    Option("--workdir/-C", text("DIR"), "Run it in this directory."),
    Option("--env/-e", PAIR, "Set a variable for the command (repeat).", many=True),
    Option("--leftovers", choice("keep", "kill"), "What to do with processes the command leaves behind."),
    Option("--title", text(), "A title, at most 200 characters."),
    Option("--label", text(), "A label (repeat, at most 16); the first is the task's.", many=True),
    Option("--allow-duplicate", None, "Start it even if the same command runs here already."),
    Option("--grace", DURATION, "Time between SIGTERM and SIGKILL, default 5s."),
    Option("--streams", choice("apart", "merged"), "Tell stdout and stderr apart, or not."),
)

ASK_OPTIONS = (
    Option("--ask", None, "Ask for an approval first, and run it once somebody has said yes."),
    Option("--expires", DURATION, "With --ask: how long the approval waits, default 24h (approvals.expires)."),
)

TASK_OPTIONS = (
    Option("--wait", None, "Wait for the end; the exit code is the command's own."),
    Option("--queue", text("NAME"), "The queue to wait in, default `default`."),
    Option("--priority", integer(-1000, 1000), "Higher goes first in its queue, default 0."),
    Option("--retry", integer(0, 999), "Try a failed command again, at most this often."),
    Option("--retry-delay", DURATION, "Wait this long before the first further try; it doubles."),
    Option("--retry-delay-max", DURATION, "Never wait longer than this between two tries."),
    Option("--deadline", DURATION, "End it, tries and all, when this time has passed."),
    Option("--delay", DURATION, "Do not begin before this time has passed."),
    Option("--dedupe", text("KEY"), "While a task with this key is open, return it instead."),
    NOTIFY,
    Option("--parent", LOOKUP, "The task this one belongs to."),
    Option("--conversation", text("KEY"), "The conversation that is told.", complete="talk"),
    Option("--node", text("NAME"), "Where it runs: a node, or `any`; default: here."),
)

EXEC = Verb(
    "exec",
    CLI + "exec:run",
    "Run a command in a session that outlives this call.",
    arguments=(COMMAND,),
    options=(
        Option("--yield", DURATION, "Wait this long; still running: print its id and return."),
        Option("--background/-b", None, "Return at once with the session's id."),
        Option("--detach", None, "Record it as a task first; return at once with the task's id."),
        DETACH_KEY,
        Option("--ready-pattern", text("RE"), "Return when this appears in the output."),
        Option("--ready-port", PORT, "Return when this TCP port accepts connections."),
        *ASK_OPTIONS,
        *COMMAND_OPTIONS,
        *TASK_OPTIONS,
        *ASKED,
    ),
    details=(
        "One word is a line for the shell, several are the program and its arguments. Without --yield, "
        "--background or --detach the output appears as it comes and the exit code is the command's own (128+n for "
        "signal n, 124 for a time limit). Ctrl-C interrupts the command, three in a row end it; closing the "
        "terminal only detaches. The options from --wait to --node need --detach or --ask. With --ask the call waits "
        "for the answer and then for the command, with -b or --detach for neither; exit code 125 when it was not "
        "approved; Ctrl-C leaves the question open."
    ),
    free_options=False,
)

RUN = Verb(
    "run",
    CLI + "detached:run",
    "Record a command as a task, let it run, and return with the task's id.",
    arguments=(COMMAND,),
    options=(*ASK_OPTIONS, *COMMAND_OPTIONS, *TASK_OPTIONS, *ASKED),
    details=(
        "Short for exec --detach. The id is printed when the task is on record, before the command starts. With "
        "--wait the output appears as it comes (with --json only the task, at its end), the id stands on standard "
        "error, and the exit code is the command's own; 124 when a time limit or the deadline ended it, 127 when it "
        "could not be started, 125 when it was cancelled before it began or its end is not known. Ctrl-C leaves the "
        "task alone."
    ),
    free_options=False,
)
