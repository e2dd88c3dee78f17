"""The commands of telling: ``conversations``, ``wake``, ``notifications`` and ``system``."""

from __future__ import annotations

from outlast.surfaces.cli.options import ASKED, CLI
from outlast.surfaces.cli.spec import DURATION, Argument, Option, Verb, choice, integer, text

HERE = CLI + "told."
ID_MAX = 2**62
KEY = Argument("key", text("KEY"), complete="conversation")
WAKE = Argument("wake", text("WAKE"), complete="wake")
NOTICE = Argument("notification", text("ID"))

CONVERSATIONS = (
    Verb(
        "conversations list",
        HERE + "conversations:run",
        "List the conversations that have something to hear.",
        options=(
            Option("--transcripts", None, "Those in which agents speak, and who holds them."),
            Option("--limit", integer(1, 1000), "At most this many, default 100."),
            Option("--after", text("KEY"), "The page after this key."),
            *ASKED,
        ),
        bare=True,
    ),
    Verb(
        "conversations show",
        HERE + "conversations:show",
        "Show what waits for a conversation, and how it is woken.",
        arguments=(KEY,),
        options=ASKED,
    ),
    Verb(
        "conversations events",
        HERE + "events:run",
        "Show what a conversation has yet to hear; -f waits for more.",
        arguments=(KEY,),
        options=(
            Option("--all", None, "Also what it has heard, as far as that is kept."),
            Option("--follow/-f", None, "Go on with what comes."),
            Option("--ack", None, "Note that what was shown is consumed."),
            Option("--after", integer(0, ID_MAX, "EVENT"), "Only what came after this event."),
            Option("--limit", integer(1, 1000), "At most this many."),
            Option("--timeout", DURATION, "With --follow: leave when nothing came for this long, with exit code 124."),
            *ASKED,
        ),
        details=(
            "With --follow the call waits in the gateway and returns from it at the first news: nobody polls. With "
            "--follow and --json: one event a line. Looking alone consumes nothing."
        ),
    ),
    Verb(
        "conversations ack",
        HERE + "conversations:ack",
        "Note that a conversation has consumed its events.",
        arguments=(KEY,),
        options=(Option("--upto", integer(0, ID_MAX, "EVENT"), "Up to this one, default all that wait."), *ASKED),
    ),
)

WAKES = (
    Verb(
        "wake add",
        HERE + "wakes:add",
        "Say how a conversation is woken when there is something to hear.",
        arguments=(KEY, Argument("words", text("COMMAND"), required=False, many=True)),
        options=(
            Option("--command", text("LINE"), "By a command: 'claude -p --resume {conversation} {text}'."),
            Option("--webhook", text("URL"), "By a signed POST."),
            Option("--secret", text(), "What the webhook is signed with, - for standard input; default: a new one."),
            Option("--desktop", None, "By a notification on this machine's desktop."),
            Option("--smtp", text("ADDRESS"), "By mail, through the server of the configuration."),
            Option("--apprise", text("URL"), "By one of the services that Apprise speaks."),
            *ASKED,
        ),
        details=(
            "Exactly one. A command is a line that is split into words once, or, after --, the words themselves; "
            "{conversation}, {text}, {title}, {id}, {kind} and {at} are filled in as values, never through a shell. "
            "Without {text} the text comes on its standard input."
        ),
    ),
    Verb(
        "wake list",
        HERE + "wakes:run",
        "List how conversations are woken.",
        arguments=(Argument("key", text("KEY"), required=False, complete="conversation"),),
        options=ASKED,
        bare=True,
    ),
    Verb(
        "wake test",
        HERE + "wakes:test",
        "Send a real wake now; exit code 1 when it did not arrive.",
        arguments=(WAKE,),
        options=ASKED,
    ),
    Verb("wake remove", HERE + "wakes:remove", "Forget a wake.", arguments=(WAKE,), options=ASKED, alias="rm"),
)

NOTIFICATIONS = (
    Verb(
        "notifications list",
        HERE + "notices:run",
        "List notices, the newest first.",
        options=(
            Option("--failed", None, "Only those that were given up."),
            Option("--state", choice("pending", "delivered", "parked", "dismissed"), "Only these."),
            Option("--target", text("KEY"), "Only those for this conversation or address."),
            Option("--limit", integer(1, 1000), "At most this many, default 100."),
            Option("--before", integer(0, ID_MAX, "ID"), "The page before this notice."),
            *ASKED,
        ),
        bare=True,
    ),
    Verb(
        "notifications retry",
        HERE + "notices:retry",
        "Send a notice again that was given up, or now instead of later.",
        arguments=(NOTICE,),
        options=ASKED,
    ),
    Verb(
        "notifications dismiss",
        HERE + "notices:dismiss",
        "Give a notice up for good.",
        arguments=(NOTICE,),
        options=ASKED,
    ),
)

SYSTEM = (
    Verb(
        "system event",
        HERE + "system:event",
        "Tell a conversation something.",
        arguments=(Argument("text", text()),),
        options=(
            Option("--to", text("KEY"), "Which conversation.", complete="talk"),
            Option("--mode", choice("now", "next-heartbeat"), "Wake it (the default), or wait for its next turn."),
            Option("--key", text("KEY"), "What is told twice under this key is heard once."),
            *ASKED,
        ),
        details="TEXT may be -: standard input.",
    ),
)

TOLD_VERBS = (*CONVERSATIONS, *WAKES, *NOTIFICATIONS, *SYSTEM)
