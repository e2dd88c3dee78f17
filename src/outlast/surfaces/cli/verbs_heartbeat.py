"""The commands of heartbeats: ``heartbeat``."""

from __future__ import annotations

from outlast.surfaces.cli.options import ASKED, CLI
from outlast.surfaces.cli.spec import DURATION, Argument, Option, Verb, integer, text

HERE = CLI + "heartbeat:"
ID_MAX = 2**53
AGENT = Argument("agent", text("AGENT"), required=False, complete="heartbeat")

HEARTBEAT_VERBS = (
    Verb(
        "heartbeat status",
        HERE + "status",
        "Show when agents look around next, and why not now.",
        arguments=(AGENT,),
        options=ASKED,
        bare=True,
    ),
    Verb(
        "heartbeat run",
        HERE + "run",
        "Have an agent look around now, and wait for what comes of it.",
        arguments=(AGENT,),
        options=(
            Option("--no-wait", None, "Return once it has begun."),
            Option("--timeout", DURATION, "Wait this long at most, default and most 10m; exit code 124 then."),
            *ASKED,
        ),
        details=(
            "Without AGENT: all that have a heartbeat. It is done at any hour, also with nothing on the checklist; a "
            "busy conversation and the limits of beats in an hour and from one to the next still hold it up. Exit "
            "code 1 when one failed, or when the one that was named was skipped."
        ),
    ),
    Verb(
        "heartbeat pause",
        HERE + "pause",
        "Have no beats until they are resumed; one under way goes on.",
        arguments=(AGENT,),
        options=ASKED,
    ),
    Verb(
        "heartbeat resume",
        HERE + "resume",
        "Have beats again; one that would have been due comes at once.",
        arguments=(AGENT,),
        options=ASKED,
    ),
    Verb(
        "heartbeat history",
        HERE + "history",
        "Show beats, the newest first: why each was, and what became of it.",
        arguments=(AGENT,),
        options=(
            Option("--limit", integer(1, 1000), "At most this many, default 50."),
            Option("--before", integer(1, ID_MAX, "BEAT"), "The page before this beat."),
            *ASKED,
        ),
    ),
)
