"""Running a command: check everything first, start it once, and stay for the yield window.

The pipeline: a request becomes a `Plan` (or an error, before anything has happened), the plan becomes a
session (or the session of the same command that is already running), and the session is watched until it has
ended, is ready, or the window is over.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pwd
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from outlast.api import results
from outlast.api.ask import ask_first
from outlast.api.context import LOCAL, Api, Caller, Making
from outlast.api.detach import check_fields, detach
from outlast.api.matcher import compile_pattern
from outlast.api.requests import SHOWN_DEFAULT, ExecRequest, StdinText
from outlast.api.results import SessionResult
from outlast.api.task_results import TaskResult, describe
from outlast.api.watch import Wants, Watch, port_open
from outlast.core import environment, guards, policy
from outlast.core.errors import BadInput, Refused
from outlast.core.session import ExecSpec, ReadyWhen
from outlast.core.task import NotifyPolicy, Task
from outlast.process.sessions import Session


class Plan(NamedTuple):
    """A checked request: what to start, how many seconds to stay with it, and what to wait for.

    ``ask`` when somebody has to approve it first.
    """

    spec: ExecSpec
    window: float
    ready: Wants | None
    advice: list[str]
    allow_duplicate: bool
    ask: bool = False


async def exec_command(api: Api, caller: Caller, request: ExecRequest) -> SessionResult | TaskResult:
    """Run a command and return how it stands when it ends, is ready, or the yield window is over.

    The same command of the same requester in the same directory, still running, comes back as
    ``existing`` instead of being started again. What is still running when the call returns goes on record; with
    ``detach`` it is on record before it begins. What has to be approved first is on record and waits for that. Raises
    BadInput or Refused before anything is started.
    """
    check_fields(request)
    if request.detach:
        return await run_detached(api, caller, request)
    plan = make_plan(api, caller, request, may_ask=True)
    if plan.ask:
        return await _run_planned(api, caller, request, plan, "ask")
    running = None if plan.allow_duplicate else api.sessions.find_running(plan.spec.start_key)
    if running is None:
        plan = await _with_port_checked(plan)
    session, existing = (running, True) if running is not None else await _start_once(api, plan)
    if request.follow and not existing:
        api.followed.expect(session)
    try:
        ready = await _stay(api, session, plan) if plan.window > 0 else None
    finally:
        if session.end is None and not request.follow:
            api.books.outlived(session)
    result = results.with_output(
        api,
        session,
        0,
        max_bytes=request.max_bytes or SHOWN_DEFAULT,
        head=True,
        raw=bool(request.raw),
        advice=plan.advice,
        existing=existing,
        ready=ready,
    )
    if session.end is None and isinstance(result.cursor, int):
        api.readers.move(session.id, caller.requester, result.cursor)
    return result


async def run_detached(api: Api, caller: Caller, request: ExecRequest, source: str = "detach") -> TaskResult:
    """Put a command on record and have it done by the worker, once it is approved where it must be; return its task."""
    return await _run_planned(api, caller, request, make_plan(api, caller, request, may_ask=True), source)


async def _run_planned(api: Api, caller: Caller, request: ExecRequest, plan: Plan, source: str) -> TaskResult:
    running = None if plan.allow_duplicate or request.dedupe_key else api.sessions.find_running(plan.spec.start_key)
    if running is not None:  # started without detach; the record of it, if there is one, is what stands in for a second
        task = await api.books.record_of(running)
        if task is not None:
            return describe(task, api.clock.now(), existing=True, advice=[*plan.advice, *_untold(task, request)])
    go = ask_first if plan.ask else detach
    return await go(api, caller, request, plan.spec, plan.advice, source)


def _untold(task: Task, request: ExecRequest) -> list[str]:
    if task.notify is not NotifyPolicy.SILENT or request.notify == "silent":
        return []
    return [
        "the same command runs already, started by a call that asked for no notice of its end; "
        f"to get one: outlast tasks notify {task.id} {request.notify or NotifyPolicy.DONE_ONLY}"
    ]


def make_plan(
    api: Making, caller: Caller, request: ExecRequest, *, scheduled: bool = False, may_ask: bool = False
) -> Plan:
    """Check a request and turn it into a plan. Raises BadInput or Refused; changes nothing.

    What was ``scheduled`` may keep time, and is tried even where its directory is not there at the moment: that is a
    run that failed, which the next may mend. Only who ``may_ask`` heeds `Plan.ask`; for all others a command that has
    to be approved is refused (``approval_needed``).
    """
    command, argv = _what(request)
    base = base_environment(api, caller, request.caller_env)
    overrides = environment.check_overrides(request.env or {}, caller.remote)
    cwd = workdir_at(request.workdir, base.get("HOME"), there=not scheduled)
    ask = _must_ask(api, caller, command, argv, may_ask=may_ask) or bool(request.ask)
    advice = [] if scheduled else _fake_timer_advice(api, command, argv)
    ready = _ready(request.ready_when)
    background = bool(request.background or request.detach or ask)
    settings = api.config
    session_id = api.new_session_id()
    shell = settings.exec_shell or environment.choose_shell(base.get("SHELL"), _executable)
    spec = ExecSpec(
        id=session_id,
        argv=environment.shell_argv(shell, command) if command is not None else tuple(argv),
        command=command if command is not None else shlex.join(argv),
        cwd=cwd,
        env=environment.child_environment(
            base,
            overrides,
            session_id,
            None,
            shell=command is not None,
            requester=None if caller.requester == LOCAL else caller.requester,
        ),
        env_names=tuple(overrides),
        requester=caller.requester,
        created_at=api.clock.now(),
        **_stdin(request),
        pty=bool(request.pty),
        cols=request.cols or 80,
        rows=request.rows or 24,
        streams=request.streams or "apart",
        timeout_seconds=request.timeout_seconds,
        idle_timeout_seconds=request.idle_timeout_seconds,
        grace_seconds=settings.exec_grace_seconds if request.grace_seconds is None else request.grace_seconds,
        leftovers=request.leftovers or ("keep" if background else "kill"),
        output_cap=settings.exec_output_cap_bytes,
        title=request.title,
        labels=tuple(request.labels or ()),
        start_key=_key(command, argv, cwd, caller.requester, request),
    )
    window = settings.exec_yield_ms if request.yield_ms is None else request.yield_ms
    seconds = 0.0 if background else window / 1000
    return Plan(spec, seconds, ready, advice, bool(request.allow_duplicate), ask)


def _what(request: ExecRequest) -> tuple[str | None, Sequence[str]]:
    """Return the command or the argument list; exactly one of them is given. Raises BadInput."""
    command, argv = request.command, request.argv
    if (command is None) == (argv is None):
        raise BadInput(
            "command: is required (or argv)" if command is None else "command: does not go with argv",
            hint="command is a line for the shell, argv a program and its arguments",
        )
    if command is not None and not command.strip():
        raise BadInput("command: must not be empty")
    if argv is not None and not argv[0]:
        raise BadInput("argv: the program must not be empty")
    name = "command" if argv is None else "argv"
    for word in [command] if command is not None else argv or ():
        _check_text(name, word)
    _check_text("title", request.title or "")
    for label in request.labels or ():
        _check_text("labels", label)
    return command, argv or ()


def _check_text(name: str, text: str) -> None:
    """Raise BadInput for what no argument of a program can hold."""
    if "\0" in text:
        raise BadInput(f"{name}: must not hold a NUL character")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadInput(f"{name}: has half of a surrogate pair in it") from None


def base_environment(api: Making, caller: Caller, caller_env: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the environment a command inherits: the caller's own if it brought one, else the gateway's."""
    if caller_env is None:
        return api.environ
    if caller.remote:
        raise Refused("callerEnv: is taken on the local socket only", code="env_refused", hint="use env")
    return {name: value for name, value in caller_env.items() if _possible(name, value)}


def _possible(name: str, value: str) -> bool:
    """False for what no environment can hold; such a thing cannot have come from one."""
    try:
        (name + value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return bool(name) and "=" not in name and "\0" not in name and "\0" not in value


def workdir_at(workdir: str | None, home: str | None, *, there: bool = True) -> str:
    """Return the directory to run in. Raises BadInput (``bad_workdir``) unless it is absolute and (asked so) there."""
    path = _expand("~" if workdir is None else workdir, home)
    if "\0" in path or not path.startswith("/"):
        raise BadInput(
            f"workdir: {workdir!r} is not an absolute path", code="bad_workdir", hint="start it with / or ~/"
        )
    path = os.path.normpath(path)
    if not there and workdir is not None:
        return path
    if not os.path.isdir(path):
        if workdir is None:
            return "/"  # no home directory: nobody asked for one
        what = "is not a directory" if os.path.exists(path) else "does not exist"
        raise BadInput(f"workdir: {path} {what}", code="bad_workdir")
    if not os.access(path, os.X_OK):
        raise BadInput(f"workdir: no permission to enter {path}", code="bad_workdir")
    return path


def _expand(path: str, home: str | None) -> str:
    if path != "~" and not path.startswith("~/"):
        return path
    if not home or not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = "/"
    return home + path[1:]


def _must_ask(api: Making, caller: Caller, command: str | None, argv: Sequence[str], *, may_ask: bool) -> bool:
    """Return whether somebody has to approve a command first. Raises Refused where it may not run at all."""
    settings = api.config
    modes = settings.exec_mode, settings.exec_allow, settings.exec_requesters, caller.requester
    answer = policy.decide(*modes, command=command, argv=None if command is not None else argv)
    if may_ask and isinstance(answer, policy.NeedsApproval):
        return True
    policy.demand(answer)
    return False


def _fake_timer_advice(api: Making, command: str | None, argv: Sequence[str]) -> list[str]:
    """Return advice for a command that only keeps time; raise Refused where the setting says so."""
    setting = api.config.exec_fake_timers
    advice = None if setting == "off" else guards.fake_timer(command, argv)
    if advice is None:
        return []
    if setting == "refuse":
        raise Refused("the command only keeps time", code="fake_timer", hint=advice.message)
    return [advice.message]


def _ready(ready: ReadyWhen | None) -> Wants | None:
    """Return what readiness means, the end included. Raises BadInput for neither, both, or a bad one."""
    if ready is None:
        return None
    if (ready.pattern is None) == (ready.port is None):
        raise BadInput("readyWhen: give a pattern or a port", hint='{"pattern": "listening"} or {"port": 8080}')
    if ready.port is not None and not 1 <= ready.port <= 65535:
        raise BadInput("readyWhen.port: must be a whole number from 1 up to 65535")
    regexp = None if ready.pattern is None else compile_pattern(ready.pattern)
    return Wants(regexp=regexp, port=ready.port)


def _stdin(request: ExecRequest) -> dict[str, Any]:
    given = request.stdin
    if given is None or given == "none":
        return {}
    if given == "pipe":
        return {"stdin": "pipe"}
    text = given.text if isinstance(given, StdinText) else given
    return {"stdin_text": text}


def _key(command: str | None, argv: Sequence[str], cwd: str, requester: str, request: ExecRequest) -> str:
    """Return the start-once key. Other input or variables make it other work, so they count where they are given."""
    key = guards.start_key(command, argv, cwd, requester)
    stdin = request.stdin.text if isinstance(request.stdin, StdinText) else request.stdin
    if not request.env and (stdin is None or stdin in ("none", "pipe")):
        return key
    extra = repr((key, sorted((request.env or {}).items()), stdin))
    return hashlib.sha256(extra.encode("utf-8", "surrogatepass")).hexdigest()[: len(key)]


def _executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


async def _with_port_checked(plan: Plan) -> Plan:
    """Advise about a port that answers before the command runs, and do not wait for it: it would say nothing."""
    if plan.ready is None or plan.ready.port is None or not await port_open(plan.ready.port):
        return plan
    told = f"port {plan.ready.port} was already answering before this command started: another process holds it"
    return plan._replace(ready=None, advice=[*plan.advice, told])


async def _start_once(api: Api, plan: Plan) -> tuple[Session, bool]:
    """Return the session of a plan, and whether it was there before.

    The key is reserved before anything is awaited, so of two equal requests at the same moment one starts
    the command and the other gets its session.
    """
    if plan.allow_duplicate:
        return await api.finish(_start(api, plan)), False
    key = plan.spec.start_key
    running = api.sessions.find_running(key)
    if running is not None:
        return running, True
    if (under_way := api.starting.get(key)) is not None:
        return await asyncio.shield(under_way), True
    reserved: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
    api.starting[key] = reserved
    return await api.finish(_start_reserved(api, plan, reserved)), False


async def _start_reserved(api: Api, plan: Plan, reserved: asyncio.Future[Session]) -> Session:
    try:
        session = await _start(api, plan)
    except asyncio.CancelledError:
        reserved.cancel()
        raise
    except Exception as error:
        reserved.set_exception(error)
        reserved.exception()  # seen: whoever else waits for it gets it too
        raise
    else:
        reserved.set_result(session)
        return session
    finally:
        del api.starting[plan.spec.start_key]


async def _start(api: Api, plan: Plan) -> Session:
    limit = api.config.sessions_live_max
    if len(api.sessions.live()) + api.starts >= limit:
        raise Refused(
            f"{limit} sessions are live already",
            code="too_many_sessions",
            hint="end some (outlast process list --status running), or raise sessions.live_max",
        )
    api.starts += 1
    try:
        return await api.sessions.start(plan.spec, umask=api.umask)
    finally:
        api.starts -= 1


async def _stay(api: Api, session: Session, plan: Plan) -> bool | None:
    """Stay until the session has ended, is ready, or the window is over.

    Returns whether it is ready, if that was asked.
    """
    if plan.ready is None:
        if session.end is None:
            await api.first(api.sessions.until_end(session), seconds=plan.window)
        return None
    watch = Watch(api, session, plan.ready)
    await api.first(watch.run(), api.sessions.until_end(session), seconds=plan.window)
    return watch.met or (await watch.look() and watch.met)
