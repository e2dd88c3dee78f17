"""The commands of work to come: ``cron``."""

from __future__ import annotations

from outlast.surfaces.cli.options import ASKED, CLI
from outlast.surfaces.cli.spec import DURATION, PAIR, Argument, Option, Verb, choice, decimal, integer, text

HERE = CLI + "cron."
SCHEDULE = Argument("schedule", text("NAME"), complete="schedule")

RULE = (
    Option("--cron", text("EXPR"), "Five fields, six with seconds first, or @daily: when the clocks say so."),
    Option("--every", text("DURATION"), "Again and again, so far apart."),
    Option("--at", text("WHEN"), "Once: 2026-12-01 09:00, tomorrow 09:00, with an offset or in --tz."),
    Option("--in", text("DURATION"), "Once, so far from now."),
    Option("--tz", text("ZONE"), "The zone of --cron and --at, default the one here."),
)
POLICIES = (
    Option(
        "--misfire",
        text("skip|once|all:N"),
        "Of instants missed while nothing ran: make up for none, the latest (the default), or the latest N.",
    ),
    Option(
        "--overlap",
        choice("skip", "queue", "cancel", "allow"),
        "While the run before still runs: leave the instant out (the default), wait, end that run, or run beside it.",
    ),
    Option("--jitter", DURATION, "Fire up to this much later, the same each time it is looked at."),
    Option("--retry", integer(0, 100), "Try a failed command again, at most this often."),
    Option("--timeout", DURATION, "End the command after this time."),
    Option("--announce", None, "Tell the conversation how each run ended."),
    Option("--webhook", text("URL"), "Tell this address how each run ended."),
    Option("--no-deliver", None, "Tell nobody how runs end (the default); they are on record."),
)
PAYLOAD = (
    Option("--workdir/-C", text("DIR"), "Run the command in this directory, default here."),
    Option("--env/-e", PAIR, "Set a variable for the command (repeat).", many=True),
    Option("--event", text(), "Instead of a command: tell a conversation this."),
    Option(
        "--to",
        text("KEY"),
        "The conversation that --event is for, or that the agent has its turns in: default a fresh one each.",
        complete="talk",
    ),
    Option("--flow", text("NAME|FILE"), "Instead of a command: start this flow, by name, program or file."),
    Option("--arg/-a", PAIR, "An argument of the flow by its name (repeat).", many=True),
    Option("--agent", text("NAME"), "Instead of a command: give this agent a turn, with --message.", complete="agent"),
    Option("--message", text(), "What the agent is told."),
    Option(
        "--conversation",
        text("KEY"),
        "The conversation that is told of runs, default the requester's own.",
        complete="talk",
    ),
    Option("--comment", text(), "A remark, shown with the schedule and kept in an export."),
)
COMMAND = Argument("command", text("COMMAND"), required=False, many=True)

LOOKING = (
    Verb(
        "cron list",
        HERE + "listing:run",
        "List schedules by name.",
        options=(
            Option("--limit", integer(1, 1000), "At most this many, default 100."),
            Option("--after", text("NAME"), "The page after this name."),
            Option("--all", None, "Every page."),
            Option("--owner", text("KEY"), "Only those of this requester."),
            *ASKED,
        ),
        bare=True,
    ),
    Verb(
        "cron show",
        HERE + "show:run",
        "Show everything about one schedule.",
        arguments=(SCHEDULE,),
        options=ASKED,
    ),
    Verb(
        "cron next",
        HERE + "show:ahead",
        "Show when a schedule fires next.",
        arguments=(SCHEDULE,),
        options=(Option("--count/-n", integer(1, 1000), "How many firings, default 5."), *ASKED),
    ),
    Verb(
        "cron runs",
        HERE + "runs:run",
        "Show what became of the instants of a schedule, the latest first.",
        arguments=(SCHEDULE,),
        options=(
            Option("--limit", integer(1, 1000), "At most this many, default 20."),
            Option("--before", decimal("INSTANT"), "The page before this instant, in seconds since 1970."),
            *ASKED,
        ),
    ),
)

ACTING = (
    Verb(
        "cron add",
        HERE + "add:add",
        "Add a schedule, and say what was understood.",
        arguments=(COMMAND,),
        options=(
            Option("--name", text("NAME"), "Its name: letters, digits, '.', '_' and '-'. Default: after its command."),
            *RULE,
            *POLICIES,
            Option("--delete-after-run", None, "Forget it after its last run."),
            *PAYLOAD,
            *ASKED,
        ),
        details=(
            "One of --cron, --every, --at and --in says when; a COMMAND, --event, --flow or --agent says what. One "
            "word is a line for the shell, several are the program and its arguments. It runs in this directory, in "
            "the environment of the gateway. The answer says in words what was understood, the next three firings, "
            "and what changes of the clocks do to it. A flow file is kept as it is now: to have a change of it run, "
            "give it again with cron edit. An agent works where its table or --workdir says."
        ),
        free_options=False,
    ),
    Verb(
        "cron edit",
        HERE + "add:edit",
        "Change a schedule; what is not named stays.",
        arguments=(SCHEDULE, COMMAND),
        options=(
            Option("--rename", text("NAME"), "Give it this name."),
            Option("--revision", integer(1, 2**31), "Only if it is at this revision still."),
            *RULE,
            *POLICIES,
            Option("--delete-after-run", None, "Forget it after its last run."),
            Option("--no-delete-after-run", None, "Keep it after its last run."),
            *PAYLOAD,
            *ASKED,
        ),
        details=(
            "Put -- before a new COMMAND; it keeps directory and variables unless others are named. With --revision, "
            "which `cron show` names, a change that somebody else made meanwhile is a conflict."
        ),
    ),
    Verb(
        "cron pause",
        HERE + "acts:pause",
        "Let no instant of a schedule come due until it is resumed.",
        arguments=(SCHEDULE,),
        options=ASKED,
    ),
    Verb(
        "cron resume",
        HERE + "acts:resume",
        "Let a schedule fire again that was paused, or switched off after failures.",
        arguments=(SCHEDULE,),
        options=ASKED,
        details="What passed meanwhile stays passed.",
    ),
    Verb(
        "cron run",
        HERE + "acts:run_now",
        "Do the work of a schedule now; its instants stay as they are.",
        arguments=(SCHEDULE,),
        options=(Option("--wait", None, "Wait for the end; the exit code is the command's or flow's own."), *ASKED),
        details="With --wait as `run --wait`, or `flow watch`: what happens appears as it comes.",
    ),
    Verb(
        "cron remove",
        HERE + "acts:remove",
        "Forget a schedule; the tasks it made stay on record.",
        arguments=(SCHEDULE,),
        options=ASKED,
        alias="rm",
    ),
    Verb(
        "cron import",
        HERE + "table:take",
        "Add the entries of a crontab as schedules.",
        arguments=(Argument("file", text("FILE")),),
        options=(
            Option("--dry-run", None, "Only say what would be added."),
            Option("--prefix", text(), "Begin every name with this."),
            *ASKED,
        ),
        details=(
            "FILE may be -: crontab -l | outlast cron import -. Comments are kept, CRON_TZ is the zone, MAILTO is "
            "noted: mail is not sent. Wrong lines stop no others; exit code 1 when there are some."
        ),
    ),
    Verb(
        "cron export",
        HERE + "table:give",
        "Print the schedules as a crontab.",
        options=ASKED,
        details="What a crontab cannot say stands in it as a comment.",
    ),
)

CRON_VERBS = (*ACTING[:1], *LOOKING, *ACTING[1:])
