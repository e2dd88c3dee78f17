"""The command that runs programs of flows."""

from __future__ import annotations

from outlast.surfaces.cli.options import CLI, JSON
from outlast.surfaces.cli.spec import DURATION, Argument, Option, Verb, integer, text

FLOW_WORKER = Verb(
    "flow worker",
    CLI + "flow_worker:flow_worker",
    "Run flows of Python files or modules here. The gateway starts such a worker by itself when one is needed.",
    arguments=(Argument("sources", text("SOURCE"), many=True),),
    options=(
        Option("--lease", DURATION, "How long a flow stays with this worker when it is not heard of, default 30s."),
        Option("--slots", integer(1, 10_000), "How many flows to run at once, default 500."),
        Option("--idle-exit", DURATION, "Leave after so long without a flow to run."),
        JSON,
    ),
)
