"""The commands of approvals."""

from __future__ import annotations

from outlast.surfaces.cli.options import ASKED, CLI
from outlast.surfaces.cli.spec import DURATION, Argument, Option, Verb, choice, integer, some_of, text

HERE = CLI + "approvals."
APPROVAL = Argument("approval", text("APPROVAL"), complete="approval")
STATUSES = ("pending", "approved", "rejected", "expired", "cancelled")

ANSWER = (
    Option("--note", text(), "A note for whoever asked."),
    Option("--revision", integer(1, 2**31, "N"), "Only if it stands at this revision, as `show --json` gave it."),
    *ASKED,
)

APPROVAL_VERBS = (
    Verb(
        "approvals list",
        HERE + "listing:run",
        "List approvals, those that wait for an answer first.",
        options=(
            Option("--status", some_of("STATUS[,STATUS]", *STATUSES), f"Only these: {', '.join(STATUSES)}.", many=True),
            Option("--kind", choice("flow", "exec", "acp"), "Only what this waits for."),
            Option("--owner", text("KEY"), "Only what this requester asked."),
            Option("--flow", text("FLOW"), "Only the questions of this flow."),
            Option("--follow/-f", None, "Show what waits, then each that is asked."),
            Option("--timeout", DURATION, "With --follow: leave when nothing was asked for this long, exit code 124."),
            Option("--limit", integer(1, 1000), "At most this many, default 50."),
            Option("--cursor", text(), "The page after this one."),
            *ASKED,
        ),
        details=(
            "With --follow the call waits in the gateway and returns from it at the first news: nobody polls. With "
            "--follow and --json: one approval a line."
        ),
        bare=True,
    ),
    Verb(
        "approvals show",
        HERE + "show:run",
        "Show a question, what it is about, and how it was answered.",
        arguments=(APPROVAL,),
        options=(
            Option("--whole", None, "With all that is run as it is, secrets too: for the operator."),
            *ASKED,
        ),
        details="What others have written is marked with `|`; characters that cannot be seen are spelled out.",
    ),
    Verb(
        "approvals approve",
        HERE + "acts:approve",
        "Say yes: what waited goes on, exactly as it was asked.",
        arguments=(APPROVAL,),
        options=ANSWER,
        details="Exit code 4 when somebody was first, or its time has passed. Nobody approves what he asked himself.",
    ),
    Verb(
        "approvals reject",
        HERE + "acts:reject",
        "Say no: a command is cancelled, a flow goes on with the answer no.",
        arguments=(APPROVAL,),
        options=ANSWER,
    ),
    Verb(
        "approvals link",
        HERE + "acts:link",
        "Print a link by which somebody without access answers once.",
        arguments=(APPROVAL,),
        options=(
            Option("--approve", None, "It can only approve."),
            Option("--reject", None, "It can only reject."),
            Option("--expires", DURATION, "It ends after this time, default 2d, and with the approval."),
            *ASKED,
        ),
        details=(
            "The gateway needs an address for it: gateway.public_url, or that it listens on TCP. Looking at the link "
            "decides nothing. Whoever has it can decide: send it to nobody else."
        ),
    ),
)
