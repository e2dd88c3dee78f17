"""The commands of the ledger: ``tasks`` and what goes with it."""

from __future__ import annotations

from outlast.surfaces.cli.options import ASKED, CLI, COMMON, LOG_OPTIONS, NOTIFY, POLICY, TASK, TASKS
from outlast.surfaces.cli.spec import (
    DURATION,
    LOOKUP,
    MOMENT,
    PERCENT,
    QUEUE_LIMIT,
    Argument,
    Option,
    Verb,
    choice,
    integer,
    some_of,
    text,
)

HERE = CLI + "tasks."
STATUSES = ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "lost")
RUNTIMES = ("cli", "cron", "subagent", "acp", "flow", "external")

FILTERS = (
    Option(
        "--status",
        some_of("STATUS[,STATUS]", *STATUSES),
        f"Only these (repeat, or with commas): {', '.join(STATUSES)}.",
        many=True,
    ),
    Option("--runtime", choice(*RUNTIMES), "Only what this kind of worker does."),
    Option("--owner", text("KEY"), "Only what this requester asked for."),
    Option("--label", text(), "Only those with this label."),
    Option("--conversation", text("KEY"), "Only what this conversation is told of.", complete="talk"),
    Option("--flow", text("FLOW"), "Only the steps of this flow."),
    Option("--search", text(), "Only those with this text in label, title, command or id."),
    Option("--since", MOMENT, "Only those recorded since: 2d (ago), or 2026-11-23T10:00."),
    Option("--dismissed", None, "Those that were dismissed, which are left out otherwise."),
)
OF_TASK = Option("--task", LOOKUP, "Which task, default $OUTLAST_TASK_ID.")

LOOKING = (
    Verb(
        "tasks list",
        HERE + "listing:run",
        "List tasks, the newest first.",
        options=(
            *FILTERS,
            Option("--limit", integer(1, 1000), "At most this many, default 50."),
            Option("--cursor", text(), "The page after this one."),
            Option("--all", None, "Every page."),
            *ASKED,
        ),
        details="AGE counts from the record, TIME is how long it ran.",
        bare=True,
    ),
    Verb(
        "tasks show",
        HERE + "show:run",
        "Show everything about one task.",
        arguments=(TASK,),
        options=ASKED,
        details=(
            "TASK, here and elsewhere, is an id or a unique beginning of one, the id of its session, or the key of a "
            "conversation (its newest task)."
        ),
    ),
    Verb(
        "tasks events",
        HERE + "history:run",
        "Show the history of a task.",
        arguments=(TASK,),
        options=(
            Option("--follow/-f", None, "Go on with what comes, to the task's end."),
            Option("--after", integer(0, 2**62, "EVENT"), "Only what came after this event."),
            Option("--limit", integer(1, 1000), "At most this many."),
            *ASKED,
        ),
        details="With --follow and --json: one event a line.",
    ),
    Verb(
        "tasks children",
        HERE + "listing:children",
        "List the tasks that belong to a task.",
        arguments=(TASK,),
        options=ASKED,
    ),
    Verb(
        "tasks log",
        HERE + "log:run",
        "Show the output of a task by lines or bytes; -f follows it.",
        arguments=(TASK,),
        options=LOG_OPTIONS,
        details=(
            "With --follow a task that has not begun is waited for, and every further try is shown too. Of a turn of "
            "an agent: what was said in it; its journal with --raw, --json, or a range."
        ),
        alias="logs",
    ),
    Verb(
        "tasks wait",
        HERE + "wait:run",
        "Wait for the end of tasks.",
        arguments=(TASKS,),
        options=(
            Option("--any", None, "For the first of them, not for all."),
            Option("--timeout", DURATION, "Give up after this time, default never."),
            *ASKED,
        ),
        details="Exit code 0 when all that were waited for succeeded, 1 when some did not, 124 when the time ran out.",
    ),
    Verb(
        "tasks watch",
        HERE + "watch:run",
        "Watch the ledger live: counts, running work, recent ends.",
        options=ASKED,
        details="Leave with q or Ctrl-C. Where standard output is no terminal, or with --json: one event a line.",
    ),
)

MANY = "With several tasks the others are still dealt with when one fails; --json is then {tasks, errors}."

ACTING = (
    Verb(
        "tasks cancel",
        HERE + "acts:cancel",
        "End tasks, or take them out of their queue.",
        arguments=(TASKS,),
        options=(
            Option("--reason", text(), "Why, for the record."),
            Option("--grace", DURATION, "Time between SIGTERM and SIGKILL."),
            *ASKED,
        ),
        details=MANY,
    ),
    Verb(
        "tasks retry",
        HERE + "acts:retry",
        "Run an ended task again, as a new task.",
        arguments=(TASK,),
        options=ASKED,
    ),
    Verb(
        "tasks dismiss",
        HERE + "acts:dismiss",
        "Take ended tasks off the list and out of the audit.",
        arguments=(TASKS,),
        options=ASKED,
        details=MANY,
    ),
    Verb(
        "tasks notify",
        HERE + "acts:notify",
        "Say of what the requester is told.",
        arguments=(TASK, Argument("policy", POLICY)),
        options=ASKED,
    ),
    Verb(
        "tasks report start",
        HERE + "report:start",
        "Put work that runs elsewhere on record as running; prints the id.",
        arguments=(Argument("text", text(), required=False),),
        options=(
            Option("--label", text(), "A label."),
            Option("--title", text(), "A title, at most 200 characters."),
            Option("--kind", text("WORD"), "What kind of work it is."),
            Option("--dedupe", text("KEY"), "While a task with this key is open, return it instead."),
            NOTIFY,
            Option("--parent", LOOKUP, "The task this one belongs to."),
            Option("--conversation", text("KEY"), "The conversation that is told.", complete="talk"),
            Option("--deadline", DURATION, "It has failed when it has not ended within this time."),
            Option("--run-id", text("NAME"), "Its own name there, by which it can be looked up here."),
            Option("--mirror", None, "Give it a flow of its own that follows it: `flow list` shows it."),
            *ASKED,
        ),
        details="TEXT says what is being done.",
    ),
    Verb(
        "tasks report progress",
        HERE + "report:progress",
        "Report how far the work is: 0 to 100.",
        arguments=(Argument("percent", PERCENT, required=False),),
        options=(Option("--message", text(), "What is being done just now."), OF_TASK, *ASKED),
    ),
    Verb(
        "tasks report done",
        HERE + "report:done",
        "Report the end of the work.",
        options=(
            Option("--status", choice("succeeded", "failed", "cancelled", "timed_out"), "How it ended."),
            Option("--exit-code", integer(0, 255), "The exit code; without --status it decides."),
            Option("--error", text(), "What went wrong."),
            Option("--summary", text(), "What came of it."),
            OF_TASK,
            *ASKED,
        ),
    ),
)

CARING = (
    Verb(
        "tasks audit",
        HERE + "care:audit",
        "Look for tasks that need somebody; every finding names its mend.",
        options=(
            Option("--severity", choice("info", "warn", "error"), "Only findings of this weight."),
            Option("--code", text("WORD"), "Only findings of this kind."),
            Option("--limit", integer(1, 1000), "At most this many."),
            *ASKED,
        ),
        details="Exit code 1 when there is an error among the findings.",
    ),
    Verb(
        "tasks maintenance",
        HERE + "care:maintenance",
        "Say what would be mended and forgotten; --apply does it.",
        options=(
            Option("--apply", None, "Do it."),
            Option("--archive", text("FILE"), "Write what is forgotten to this file first, as JSON lines."),
            *COMMON,
        ),
    ),
    Verb(
        "tasks stats", HERE + "care:stats", "Count tasks by status and queue, and the notices that wait.", options=ASKED
    ),
    Verb(
        "tasks queues",
        HERE + "care:queues",
        "Show the queues, or limit how many tasks of one run at once.",
        options=(
            Option("--set", QUEUE_LIMIT, "Let at most N of queue NAME run at once; NAME=none: any number.", many=True),
            *COMMON,
        ),
    ),
    Verb(
        "tasks export",
        HERE + "export:run",
        "Write tasks as JSON lines, one task a line.",
        options=(
            *FILTERS,
            Option("--events", None, "With the history of each task, as `events`."),
            Option("--output/-o", text("FILE"), "To this file, which appears when it is complete."),
            *ASKED,
        ),
        details="Dismissed tasks are written too, after the others; with --dismissed only they are.",
    ),
)

TASK_VERBS = (*LOOKING, *ACTING, *CARING)

EXPLAIN = Verb(
    "explain",
    HERE + "show:explain",
    "Say in five lines where a piece of work stands and what it survives.",
    arguments=(TASK,),
    options=ASKED,
    details="TASK may be a flow or a session, too.",
)
BACKUP = Verb(
    "backup",
    HERE + "care:backup",
    "Copy the ledger to a file while it is in use.",
    arguments=(Argument("file", text("FILE")),),
    options=COMMON,
)
