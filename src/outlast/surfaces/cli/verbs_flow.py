"""The commands of flows: ``flow``."""

from __future__ import annotations

from outlast.surfaces.cli.options import ASKED, CLI, NOTIFY, TASK
from outlast.surfaces.cli.spec import (
    DURATION,
    FLOW,
    MOMENT,
    PAIR,
    Argument,
    Option,
    Verb,
    choice,
    integer,
    some_of,
    text,
)
from outlast.surfaces.cli.verbs_flow_worker import FLOW_WORKER

HERE = CLI + "flows."
STATUSES = ("queued", "running", "waiting", "blocked", "succeeded", "failed", "cancelled", "lost")
MODES = ("program", "file", "managed", "mirrored")
ID = Argument("flow", FLOW, complete="flow")
IDS = Argument("flows", FLOW, many=True, complete="flow")
REVISION = Option("--revision", integer(1, 2**53, "N"), "The revision it is at, as `flow show` names it; required.")
STATE = Option("--state", text("JSON"), "What the controller wants to be kept, an object.")
STEP = Option("--step", text("NAME"), "Which step it is at.")
FROM = Option("--from", text("STEP"), "That step, and all that were begun after it, anew.", name="from_step")

GIVEN = (
    Option("--arg/-a", PAIR, "An argument by its name (repeat).", many=True),
    Option("--json-args", text("JSON"), "The arguments as JSON: an object by name, or a list in their order."),
    Option("--env/-e", PAIR, "Set a variable for the commands of the flow (repeat).", many=True),
    Option("--workdir/-C", text("DIR"), "Where the commands of the flow run, default here."),
    Option("--goal", text(), "What it is for."),
    Option("--label", text(), "A label."),
    Option("--conversation", text("KEY"), "The conversation that is told.", complete="talk"),
    NOTIFY,
    Option("--priority", integer(-1000, 1000), "Higher goes first, default 0."),
    Option("--concurrency-key", text("KEY"), "Of flows with the same key only so many run at once."),
    Option("--concurrency-max", integer(1, 100_000), "How many, default 1."),
    Option("--dedupe", text("KEY"), "While a flow with this key is open, return it instead."),
    Option("--deadline", DURATION, "End it when this time has passed."),
    Option("--delay", DURATION, "Do not begin before this time has passed."),
    Option("--retry", integer(0, 999), "Try a flow that failed again, at most this often."),
    Option("--retry-delay", DURATION, "Wait this long before the first further try; it doubles."),
    Option("--retry-delay-max", DURATION, "Never wait longer than this between two tries."),
    Option("--parent", FLOW, "The flow this one belongs to."),
)
ENDS = (
    "The exit code is 0 when it succeeded, 1 when it failed, 124 when its deadline ended it, 125 when it was "
    "cancelled or is lost, 4 when it is blocked: somebody has to see to it, and the way on is named."
)

STARTING = (
    Verb(
        "flow run",
        HERE + "run:run",
        "Start a flow and stay with it: its steps as they go, its result at the end.",
        arguments=(Argument("target", text("TARGET")), Argument("args", text("ARG"), required=False, many=True)),
        options=(*GIVEN, Option("--detach/-d", None, "Return at once; print the id."), *ASKED),
        details=(
            "TARGET is a flow file (brief.flow.yaml), a program (release.py:release, package.module:release; the name "
            "may be left out where a file has one flow), or the name of one that a worker serves. The steps appear on "
            "standard error where that is a terminal; standard output is the result's alone. Ctrl-C leaves the flow "
            "alone. " + ENDS
        ),
    ),
    Verb(
        "flow start",
        HERE + "run:start",
        "Start a flow and return with its id.",
        arguments=(Argument("target", text("NAME")), Argument("args", text("ARG"), required=False, many=True)),
        options=(*GIVEN, *ASKED),
        details="Short for flow run --detach: NAME may be a file or a program, too.",
    ),
    Verb(
        "flow check",
        HERE + "check:run",
        "Look for everything that is wrong in flow files; nothing is run, no gateway asked.",
        arguments=(Argument("files", text("FILE"), many=True),),
        options=(Option("--json", None, "Print JSON."),),
        details="One line a problem, FILE:LINE:COLUMN: what is wrong. Exit code 2 when there is one.",
    ),
    Verb(
        "flow schema",
        HERE + "check:schema",
        "Print the JSON Schema of flow files, for editors.",
        options=(Option("--json", None, "Print it on one line."),),
    ),
)

LOOKING = (
    Verb(
        "flow list",
        HERE + "listing:run",
        "List flows, the newest first.",
        options=(
            Option(
                "--status",
                some_of("STATUS[,STATUS]", *STATUSES),
                f"Only these (repeat, or with commas): {', '.join(STATUSES)}.",
                many=True,
            ),
            Option("--mode", choice(*MODES), "Only those that are driven like this."),
            Option("--name", text(), "Only runs of this flow."),
            Option("--owner", text("KEY"), "Only what this requester asked for."),
            Option("--label", text(), "Only those with this label."),
            Option("--conversation", text("KEY"), "Only what this conversation is told of.", complete="talk"),
            Option("--parent", FLOW, "Only what this flow has started."),
            Option("--since", MOMENT, "Only those recorded since: 2d (ago), or 2026-11-23T10:00."),
            Option("--limit", integer(1, 1000), "At most this many, default 50."),
            Option("--cursor", text(), "The page after this one."),
            Option("--all", None, "Every page."),
            *ASKED,
        ),
        details="AGE counts from the record, TIME from its begin. DONE are steps that have ended, of those known.",
        bare=True,
    ),
    Verb(
        "flow show",
        HERE + "show:run",
        "Show everything about one flow: what it waits for, its steps, and the command that gets it on.",
        arguments=(ID,),
        options=(
            Option("--graph", choice("text", "mermaid", "json"), "Draw its steps instead, default text.", bare="text"),
            Option("--limit", integer(1, 1000), "Of very many steps the first so many, default 200."),
            *ASKED,
        ),
        details="FLOW, here and elsewhere, is an id or a unique beginning of one.",
    ),
    Verb(
        "flow watch",
        HERE + "run:watch",
        "Stay with a flow to its end: its steps as they go, its result at the end.",
        arguments=(ID,),
        options=(Option("--timeout", DURATION, "Leave after this time, with exit code 124."), *ASKED),
        details="As flow run does. With --json one line for each change, the last one for its end. " + ENDS,
    ),
    Verb(
        "flow log",
        HERE + "history:run",
        "Show the history of a flow: its moves, signals, wishes.",
        arguments=(ID,),
        options=(
            Option("--follow/-f", None, "Go on with what comes, to the flow's end."),
            Option("--after", integer(0, 2**62, "EVENT"), "Only what came after this event."),
            Option("--limit", integer(1, 1000), "At most this many."),
            *ASKED,
        ),
        details="With --follow and --json: one event a line.",
    ),
)

ACTING = (
    Verb(
        "flow signal",
        HERE + "acts:signal",
        "Send a signal to a flow; it is kept until the flow asks for it.",
        arguments=(ID, Argument("name", text("NAME")), Argument("payload", text("JSON"), required=False)),
        options=(Option("--key", text("KEY"), "What is sent twice under this key is heard once."), *ASKED),
        details="JSON may be -: standard input.",
    ),
    Verb(
        "flow cancel",
        HERE + "acts:cancel",
        "Call flows off: their children end, their compensations run, then they end.",
        arguments=(IDS,),
        options=(
            Option("--reason", text(), "Why, for the record."),
            Option("--force", None, "End the record at once; compensations do not run."),
            Option("--timeout", DURATION, "How long to wait for the end, default 5s, at most 10m."),
            *ASKED,
        ),
        details="With several flows the others are still dealt with when one fails; --json is then {flows, errors}.",
    ),
    Verb(
        "flow retry",
        HERE + "acts:retry",
        "Take up a flow again that failed, is blocked or lost; what succeeded stays.",
        arguments=(ID,),
        options=(FROM, *ASKED),
    ),
    Verb(
        "flow resume",
        HERE + "acts:resume",
        "Let a blocked flow go on where it stands.",
        arguments=(ID,),
        options=(
            Option("--revision", integer(1, 2**53, "N"), "Only at this revision; a managed flow needs it."),
            STATE,
            STEP,
            *ASKED,
        ),
        details="A managed flow may wait or be blocked, and gets a new --state or --step with it.",
    ),
    Verb(
        "flow fork",
        HERE + "acts:fork",
        "Make a new flow of the steps that succeeded before one; the rest is run.",
        arguments=(ID,),
        options=(
            Option("--from", text("STEP"), "The first step that is run again; required.", name="from_step"),
            *ASKED,
        ),
    ),
)

MANAGED = (
    Verb(
        "flow create",
        HERE + "managed:create",
        "Put a flow on record that a controller outside moves; print its id.",
        arguments=(Argument("name", text("NAME")),),
        options=(
            Option("--goal", text(), "What it is for."),
            STATE,
            STEP,
            Option("--label", text(), "A label."),
            Option("--conversation", text("KEY"), "The conversation that is told.", complete="talk"),
            NOTIFY,
            Option("--dedupe", text("KEY"), "While a flow with this key is open, return it instead."),
            Option("--parent", FLOW, "The flow this one belongs to."),
            *ASKED,
        ),
    ),
    Verb(
        "flow link",
        HERE + "managed:link",
        "Make a task a child of a managed flow.",
        arguments=(ID, TASK),
        options=(REVISION, *ASKED),
    ),
    Verb(
        "flow wait",
        HERE + "managed:wait",
        "Note what a managed flow waits for, or why it cannot go on.",
        arguments=(ID,),
        options=(
            REVISION,
            Option("--for", text(), "What it waits for.", name="wait_for"),
            Option("--until", text("WHEN"), "Until when: 2026-11-23T10:00Z."),
            Option("--blocked", text(), "That it cannot go on, and why."),
            STATE,
            STEP,
            *ASKED,
        ),
        details="This is for its controller. To wait for the end of a flow: outlast flow watch.",
    ),
    Verb(
        "flow finish",
        HERE + "managed:finish",
        "End a managed flow well.",
        arguments=(ID,),
        options=(REVISION, Option("--result", text("JSON"), "What came of it."), STATE, *ASKED),
    ),
    Verb(
        "flow fail",
        HERE + "managed:fail",
        "End a managed flow badly.",
        arguments=(ID,),
        options=(REVISION, Option("--error", text(), "What went wrong; required."), STATE, *ASKED),
    ),
    Verb(
        "flow request-cancel",
        HERE + "managed:request_cancel",
        "Ask for the end of a managed flow: it takes no new child and ends with its last one.",
        arguments=(ID,),
        options=(REVISION, Option("--reason", text(), "Why, for the record."), *ASKED),
    ),
)

FLOW_VERBS = (*STARTING, *LOOKING, *ACTING, *MANAGED, FLOW_WORKER)
