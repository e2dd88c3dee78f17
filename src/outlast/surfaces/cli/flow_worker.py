"""``flow worker``: run the flows of some programs in this process."""

from __future__ import annotations

from outlast.core.errors import GatewayTrouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from outlast.surfaces.cli.context import Call


def flow_worker(call: Call) -> int:
    """Run the flows of some sources until told to stop."""
    if call.run_worker is None:
        raise GatewayTrouble("this entry point cannot run a worker", hint="outlast flow worker")
    rules = {"lease_seconds": call["lease"], "slots": call["slots"], "idle_exit": call["idle_exit"]}
    return call.run_worker(call.config, list(call["sources"]), **rules)
