"""``gateway`` and ``status``: run it, start it, stop it, look at it."""

from __future__ import annotations

import os
import select
import time

from outlast.client import Client, NotRunning
from outlast.client.start import Starting, ensure, ensure_locked
from outlast.core.durations import format_size
from outlast.core.errors import BadInput, GatewayTrouble, OutlastError
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.moments import ahead
from outlast.surfaces.cli.output import note, print_json, safe, say, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

DOWN = 3
STOP_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.05


def run(call: Call) -> int:
    """Run the gateway in this process until it is told to stop."""
    if call.run_gateway is None:
        raise GatewayTrouble("this entry point cannot run a gateway", hint="outlast gateway run")
    listen, ready_fd, allow_remote = call["listen"], call["ready_fd"], call["allow_remote"]
    return call.run_gateway(call.config, listen=listen, ready_fd=ready_fd, allow_remote=allow_remote)


def start(call: Call) -> None:
    """Start the gateway unless it runs, and say which it was."""
    _must_be_here(call)
    started = ensure(call.place, _words(call))
    if not started and call["listen"] is not None:
        note("it runs already; to change the address: outlast gateway restart --listen HOST:PORT")
    _show_started(call, "started" if started else "already running")


def _must_be_here(call: Call) -> None:
    if call.gateway is not None:
        raise BadInput(
            f"the gateway at {call.gateway} cannot be started from here", code="usage", hint="unset OUTLAST_GATEWAY"
        )


def _words(call: Call) -> tuple[str, ...]:
    listen = () if call["listen"] is None else ("--listen", call["listen"])
    return (*listen, "--allow-remote") if call["allow_remote"] else listen


def _show_started(call: Call, word: str) -> None:
    result = _client(call).get("/v1/status")
    if call.json:
        print_json({**result, "started": word != "already running"})
        return
    facts = result["gateway"]
    say(f"gateway {word}: pid {facts['pid']}, version {facts['version']}, socket {facts['socket']}")


def _client(call: Call) -> Client:
    return call.new_client(autostart=False)


def stop(call: Call) -> None:
    """Stop the gateway and return when it has left."""
    answer = _stop(call, _client(call), call["kill_sessions"])
    if answer is None:
        answer = {"stopping": False, "sessionsLeft": 0, "killed": []}
        call.answer(answer, lambda _: say("no gateway is running"))
        return
    call.answer(answer, _print_stopped)


def _print_stopped(answer: Result) -> None:
    say("gateway stopped")
    if answer["killed"]:
        say(f"ended {len(answer['killed'])} sessions")
    if answer["sessionsLeft"]:
        what = "1 session goes" if answer["sessionsLeft"] == 1 else f"{answer['sessionsLeft']} sessions go"
        say(f"{what} on without it; the next gateway takes over")


def _stop(call: Call, client: Client, kill_sessions: bool = False) -> Result | None:
    """Ask it to stop and wait until its process is gone; None when there was none."""
    try:
        pid = int(client.get("/v1/status")["gateway"]["pid"])
        exit_fd = _exit_of(pid) if client.local else -1
        try:
            answer = client.post("/v1/gateway/stop", {"killSessions": True} if kill_sessions else {}, seconds=None)
            client.close()
            if client.local and not _gone(pid, exit_fd):
                raise GatewayTrouble(
                    f"the gateway (pid {pid}) is still there after {STOP_SECONDS:g} s",
                    code="stop_failed",
                    hint=f"see {call.paths.log}; sessions survive: kill {pid}",
                )
        finally:
            if exit_fd >= 0:
                os.close(exit_fd)
    except NotRunning:
        return None
    return answer


def _exit_of(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; -1 where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _gone(pid: int, exit_fd: int) -> bool:
    """Wait for the end of the process; False when it is still there after STOP_SECONDS."""
    if exit_fd >= 0:
        return bool(select.select([exit_fd], [], [], STOP_SECONDS)[0])
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except OSError:
            return True
        time.sleep(LOOK_AGAIN_SECONDS)
    return False


def restart(call: Call) -> None:
    """Stop and start the gateway, holding off everybody else who would start one meanwhile."""
    _must_be_here(call)
    with Starting(call.config):
        _stop(call, _client(call))
        ensure_locked(call.config, _words(call))
    _show_started(call, "restarted")


def status(call: Call) -> int:
    """Show the gateway; 3 when it is down."""
    result = _status(call)
    facts = result["gateway"] or {}
    flat = {"running": result["running"], **facts, "uptime": facts.get("uptimeSeconds"), "gateway": result["gateway"]}
    call.answer(flat, lambda found: _print_gateway(call, found))
    return 0 if result["running"] else DOWN


def overview(call: Call) -> None:
    """Show gateway, keeper and sessions; with the gateway down, say so."""
    result = _status(call)
    if not result["running"] and call.gateway is None and call.answer_offline is not None:
        result |= _ledger(call)
    call.answer(result, lambda found: _print_overview(call, found))


def _ledger(call: Call) -> Result:
    """What the ledger says of itself while no gateway runs. A store that cannot be read is doctor's affair."""
    try:
        found = call.offline("status")
    except OutlastError as error:
        note(f"{error.message} (see: outlast doctor)")
        return {"tasks": None}
    return {name: found.get(name) for name in ("tasks", "flows", "told", "store")}


def _status(call: Call) -> Result:
    try:
        return {"running": True, **_client(call).get("/v1/status")}
    except NotRunning:
        return {"running": False, "gateway": None, "keeper": None, "sessions": None}


def _print_gateway(call: Call, result: Result) -> None:
    facts = result["gateway"]
    if facts is None:
        say(f"gateway   down ({call.gateway or call.paths.socket}); it starts by itself when needed")
        return
    up = span(facts["uptimeSeconds"] * 1000)
    memory = f", {format_size(facts['rssBytes'])}" if facts.get("rssBytes") else ""
    say(f"gateway   pid {facts['pid']}, version {facts['version']}, up {up}{memory}")
    say(f"socket    {facts['socket']}")
    if facts.get("listen"):
        say(f"listen    {facts['listen']}")
    kind, path = facts["store"]["kind"], safe(facts["store"]["path"])
    say(f"store     {kind}: {path}" if kind == "unavailable" else f"store     {kind} in {path}")


def _print_overview(call: Call, result: Result) -> None:
    _print_gateway(call, result)
    if result["gateway"] is not None:
        _print_sessions(result)
    if result.get("tasks") is not None:
        from outlast.surfaces.cli.tasks.board import headline

        say(f"Tasks: {headline(result['tasks'])}")
    flows = [f"{number} {status}" for status, number in (result.get("flows") or {}).items() if number]
    if flows:
        say(f"Flows: {' · '.join(flows)}")
    if result.get("told") is not None:
        _print_told(result["told"])


def _print_told(told: Result) -> None:
    """Print when the next schedule fires, and the notices that are not delivered, if there are any."""
    coming = told.get("nextFiringAt")
    say(f"Schedules: {f'next {ahead(coming)}' if coming else 'none'}")
    counts = (("noticesPending", "waiting"), ("noticesParked", "given up"))
    parts = [f"{told[name]} {word}" for name, word in counts if told.get(name)]
    if parts:
        say(f"Notices: {' · '.join(parts)}")


def _print_sessions(result: Result) -> None:
    keeper, sessions = result["keeper"] or {}, result["sessions"]
    say(f"keeper    pid {keeper['pid']}" if keeper.get("pid") else "keeper    not started yet")
    say(f"sessions  {sessions['live']} running, {sessions['ended']} ended")
    adopted = sessions.get("adopted")
    if adopted and any(adopted[name] for name in ("live", "ended", "lost")):
        say(
            f"adopted   {adopted['live']} running, {adopted['ended']} ended meanwhile, "
            f"{adopted['lost']} lost, in {span(adopted['ms'])}"
        )
