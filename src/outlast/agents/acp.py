"""Agents that speak the Agent Client Protocol, over their standard input and output.

We are its client: started in our own way, asked one prompt after another in one session. A word in mid-turn becomes
the next prompt, since the protocol has none for it. Files are read and written for the agent below its directory, and
commands are run for it there once they are allowed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from outlast._version import __version__
from outlast.agents import acp_login, tidy
from outlast.agents.acp_updates import Updates, contents_text, usage_of
from outlast.agents.backend import CANCEL_GRACE, SESSION_GONE_HINT, AgentTrouble, Ended, Steer
from outlast.agents.child import Child
from outlast.agents.desk import Desk
from outlast.agents.permissions import Choice, Leave, leave_of
from outlast.agents.rpc import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Rpc, RpcError
from outlast.agents.workspace import OutOfBounds, Workspace
from outlast.core.agent import Turn, Usage
from outlast.core.agent_journal import SESSION_GONE

if TYPE_CHECKING:
    from outlast.agents.terminals import Terminals

PROTOCOL = 1
INIT_SECONDS = 120.0
"""How long an agent may take to introduce itself, and to open a session: some install themselves first."""
LOGIN_SECONDS = 30.0
DROP_SECONDS = 5.0
AUTH_REQUIRED = -32000
LEAVES_MAX = 20
"""Tool calls that are remembered as allowed until the agent asks for the terminals they need."""
ASKED_BY_US = ("initialize", "authenticate", "session/new", "session/prompt")
NO_ACP = "does it speak ACP? a program that takes its message as an argument is added with --backend command"
STOPS = {"end_turn": "end_turn", "max_tokens": "max_tokens", "max_turn_requests": "max_turns",
          "refusal": "refusal", "cancelled": "cancelled"}  # fmt: skip


class Introduction(NamedTuple):
    """What an agent says of itself."""

    name: str
    version: str | None
    protocol: int
    can: list[str]
    methods: object

    def able(self, what: str) -> bool:
        """True when it can do that."""
        return what in self.can


class AcpBackend:
    """One turn of an ACP agent."""

    def __init__(self, turn: Turn, env: Mapping[str, str], desk: Desk, pass_on: Any) -> None:  # noqa: ANN401
        self._turn = turn
        self._env = env
        self._desk = desk
        self._pass_on = pass_on
        self._updates = Updates(desk)
        self._files = Workspace(turn.workdir)
        self._steers: deque[Steer] = deque()
        self._session: str | None = None
        self._cancelled = asyncio.Event()
        self._child: Child | None = None
        self._rpc: Rpc | None = None
        self._usage: Usage | None = None
        self._terminals: Terminals | None = None
        self._leaves: deque[Leave] = deque(maxlen=LEAVES_MAX)

    async def run(self) -> Ended:
        """Start the agent, and prompt it until there is nothing more to say to it. Raises AgentTrouble."""
        told = await self._until_cancelled(self._open())
        if told is None:
            return Ended("cancelled")
        prompt: str | None = self._first_prompt(resumed=told)
        stop = "end_turn"
        while prompt is not None:
            stop = await self._prompt(prompt)
            prompt = self._next_prompt(stop)
        return Ended(stop, usage=self._usage, agent_session=self._session)

    def steer(self, steer: Steer) -> None:
        """Put it after the present prompt; ``interrupt`` ends that one first."""
        self._steers.append(steer)
        if steer.interrupt and self._rpc is not None and self._session is not None:
            self._stop_prompt()

    def cancel(self) -> None:
        """Ask the agent to stop, and answer what it asks meanwhile."""
        if not self._cancelled.is_set():
            self._cancelled.set()
            self._stop_prompt()

    async def close(self) -> None:
        """End the agent and its group."""
        for steer in self._steers:
            self._desk.steered(steer, "dropped")
        self._steers.clear()
        self._desk.questions.cancel()
        ends = [] if self._terminals is None else [self._terminals.close()]
        if self._child is not None:
            ends.append(self._child.end(polite=True))
        await asyncio.gather(*ends)
        if self._rpc is not None:
            await self._rpc.stop()

    async def introduce(self, noise_seconds: float | None = None) -> Introduction:
        """Start the agent and have it say what it is. Raises AgentTrouble (no_program, no_answer, …).

        ``noise_seconds`` bounds the wait for one that has written something else than messages.
        """
        argv = list(self._turn.agent.command)
        self._child = await Child.start(argv, cwd=self._turn.workdir, env=self._env, stdin=True, pass_on=self._pass_on)
        self._rpc = Rpc(
            self._child, handle=self._handle, notified=self._notified, note=self._desk.note, room=self._desk.room,
            noise_seconds=noise_seconds,
        )  # fmt: skip
        self._rpc.start()
        info: dict[str, object] = {"name": "outlast", "title": "outlast", "version": __version__}
        able = {"fs": {"readTextFile": True, "writeTextFile": True}, "terminal": True}
        ours: dict[str, object] = {"protocolVersion": PROTOCOL, "clientCapabilities": able, "clientInfo": info}
        try:
            said = await self._ask("initialize", ours, INIT_SECONDS, "did not introduce itself")
        except RpcError as error:
            raise AgentTrouble(
                "protocol", f"the agent does not introduce itself: {_said(error)}{self.heard()}", hint=NO_ACP
            ) from None
        except AgentTrouble as trouble:
            raise AgentTrouble(trouble.code, trouble.message + self.heard(trouble.message), hint=NO_ACP) from None
        return _introduction(said, argv[0])

    def heard(self, told: str = "") -> str:
        """Return what an agent has said that does not introduce itself, as the end of a sentence: what is not told."""
        first = "" if self._rpc is None else self._rpc.first_noise
        words = "" if self._child is None else self._child.last_words()
        said = [f"its output begins: {first}"] if first and first not in told else []
        if words and words not in told:
            said.append(f"its standard error: {words}")
        return "".join(f"; {one}" for one in said)

    async def open_session(self, intro: Introduction) -> bool:
        """Open a session, or the one of an earlier turn; True when it is that. Raises AgentTrouble."""
        try:
            return await self._session_of(intro)
        except RpcError as error:
            if error.code != AUTH_REQUIRED:
                words = self._child.last_words() if self._child is not None else ""
                said = f"the agent cannot open a session: {_said(error)}"
                raise AgentTrouble("agent_error", f"{said}: {words}" if words else said) from None
        method = acp_login.silent_method(intro.methods, self._env)
        hint = acp_login.login_hint(intro.methods, self._turn.agent.command)
        if method is None:
            raise AgentTrouble("login_wanted", f"{intro.name} wants somebody to log in", hint=hint)
        try:
            await self._ask("authenticate", {"methodId": method}, LOGIN_SECONDS, "did not finish its login")
            return await self._session_of(intro)
        except RpcError as error:
            raise AgentTrouble(
                "login_wanted", f"{intro.name} does not take the login {method}: {error.message}", hint=hint
            ) from None

    async def drop_session(self, intro: Introduction) -> None:
        """Have the agent forget the session, where it can: nothing was said in it."""
        method = "session/delete" if intro.able("delete") else "session/close" if intro.able("close") else None
        if method is not None and self._rpc is not None:
            try:
                await self._rpc.request(method, {"sessionId": self._session}, DROP_SECONDS)
            except (RpcError, AgentTrouble, TimeoutError):
                pass

    @property
    def session(self) -> str | None:
        """The agent's own session, once it is open."""
        return self._session

    async def _open(self) -> bool:
        intro = await self.introduce()
        self._desk.ready(intro.name, version=intro.version, protocol=intro.protocol, can=intro.can)
        resumed = await self.open_session(intro)
        self._desk.begun(self._session, resumed=resumed)
        return resumed

    async def _session_of(self, intro: Introduction) -> bool:
        place: dict[str, object] = {"cwd": self._files.root, "mcpServers": []}
        before = self._turn.agent_session
        if before is not None and await self._take_up(before, intro, place):
            self._session = before
            return True
        said = await self._ask("session/new", place, INIT_SECONDS, "did not open a session")
        self._session = tidy.session(said.get("sessionId"))
        if self._session is None:
            raise AgentTrouble("protocol", "the agent opened a session without an id")
        return False

    async def _take_up(self, session: str, intro: Introduction, place: dict[str, object]) -> bool:
        """Go on with an earlier session: without its history where the agent can do that, else with it."""
        methods = [f"session/{name}" for name in ("resume", "load") if intro.able(name)]
        why = "the agent keeps none"
        self._updates.replaying = True
        try:
            for method in methods:
                try:
                    params = {**place, "sessionId": session}
                    await self._ask(method, params, INIT_SECONDS, "did not take up its session")
                    return True
                except RpcError as error:
                    if error.code == AUTH_REQUIRED:
                        raise
                    why = error.message
                except AgentTrouble as trouble:
                    if trouble.code != "agent_exited":
                        raise
                    said = f"{trouble.message}; it was to go on with its session {session}"
                    raise AgentTrouble(SESSION_GONE, said, hint=SESSION_GONE_HINT) from None
        finally:
            self._updates.replaying = False
        self._desk.note(f"the earlier session {session} is gone ({why}): a new one is begun")
        return False

    def _first_prompt(self, *, resumed: bool) -> str:
        system = self._turn.agent.system
        return self._turn.prompt if resumed or not system else f"{system}\n\n{self._turn.prompt}"

    async def _prompt(self, text: str) -> str:
        assert self._rpc is not None
        self._updates.mark()
        params: dict[str, object] = {"sessionId": self._session, "prompt": [{"type": "text", "text": text}]}
        asking = asyncio.create_task(self._rpc.request("session/prompt", params))
        calling_off = asyncio.create_task(self._cancelled.wait())
        await asyncio.wait({asking, calling_off}, return_when=asyncio.FIRST_COMPLETED)
        calling_off.cancel()
        if not asking.done():
            await asyncio.wait({asking}, timeout=CANCEL_GRACE)
        if not asking.done():
            asking.cancel()
            self._desk.note("the agent did not stop when it was asked to, and was ended")
            return "cancelled"
        return self._stopped(asking)

    def _stopped(self, asking: asyncio.Task[dict[str, Any]]) -> str:
        try:
            said = asking.result()
        except RpcError as error:
            if self._cancelled.is_set():
                return "cancelled"
            raise _prompt_trouble(error, self._turn) from None
        except AgentTrouble:
            if self._cancelled.is_set():
                return "cancelled"
            raise
        self._usage = _sum(self._usage, usage_of(said.get("usage"), self._updates.cost_usd))
        stop = STOPS.get(str(said.get("stopReason")))
        if stop is None:
            raise AgentTrouble(
                "protocol", f"the agent stopped for a reason that is not known: {said.get('stopReason')!r}"
            )
        return stop

    def _next_prompt(self, stop: str) -> str | None:
        if self._cancelled.is_set() or not self._steers or stop not in ("end_turn", "cancelled"):
            return None
        steer = self._steers.popleft()
        self._desk.steered(steer, "sent")
        return steer.text

    def _stop_prompt(self) -> None:
        self._desk.questions.cancel()
        if self._terminals is not None:
            self._terminals.stop(over=self._cancelled.is_set())
        if self._rpc is not None and self._session is not None:
            self._rpc.notify("session/cancel", {"sessionId": self._session})

    async def _until_cancelled(self, opening: Any) -> bool | None:  # noqa: ANN401
        """Return what it returns; None when the turn was called off first."""
        task = asyncio.ensure_future(opening)
        calling_off = asyncio.create_task(self._cancelled.wait())
        await asyncio.wait({task, calling_off}, return_when=asyncio.FIRST_COMPLETED)
        calling_off.cancel()
        if task.done():
            done: bool = task.result()
            return done
        task.cancel()
        await asyncio.wait({task})
        return None

    async def _ask(self, method: str, params: dict[str, object], seconds: float, what: str) -> dict[str, Any]:
        assert self._rpc is not None and self._child is not None
        try:
            return await self._rpc.request(method, params, seconds)
        except TimeoutError:
            words = self._child.last_words()
            raise AgentTrouble(
                "no_answer", f"the agent {what} within {seconds:g} s" + (f": {words}" if words else ""), hint=NO_ACP
            ) from None

    # What the agent wants of us

    def _notified(self, method: str, params: dict[str, Any]) -> None:
        update = params.get("update")
        ours = self._session is None or params.get("sessionId") in (None, self._session)
        if method == "session/update" and ours and isinstance(update, dict):
            self._updates.take(update)

    async def _handle(self, method: str, params: dict[str, Any]) -> object:
        if method == "session/request_permission":
            return await self._permission(params)
        if method == "fs/read_text_file":
            return {"content": self._on_files(lambda: self._files.read(
                _path(params), _number(params, "line"), _number(params, "limit")))}  # fmt: skip
        if method == "fs/write_text_file":
            text = params.get("content")
            if not isinstance(text, str):
                raise RpcError(INVALID_PARAMS, "content: must be text")
            self._on_files(lambda: self._files.write(_path(params), text))
            return {}
        if method.startswith("terminal/"):
            return await self._on_terminals().handle(method, params)
        if method in ASKED_BY_US and self._rpc is not None:
            self._rpc.fail(AgentTrouble("protocol", "the agent only repeats what it is told", hint=NO_ACP))
        raise RpcError(METHOD_NOT_FOUND, f"{method[:80]} is not offered")

    def _on_files(self, act: Any) -> Any:  # noqa: ANN401
        try:
            return act()
        except OutOfBounds as refusal:
            self._desk.note(f"a file was refused to the agent: {refusal}")
            raise RpcError(INVALID_PARAMS, f"refused: {refusal}") from None
        except FileNotFoundError:
            raise RpcError(-32002, "the file is not there") from None
        except OSError as error:
            raise RpcError(INTERNAL_ERROR, error.strerror or str(error)) from None

    def _on_terminals(self) -> Terminals:
        if self._terminals is None:
            from outlast.agents.terminals import Terminals  # most turns need none

            self._terminals = Terminals(self._files, self._env, self._desk, self._leaves)
            if self._cancelled.is_set():
                self._terminals.stop(over=True)
        return self._terminals

    async def _permission(self, params: dict[str, Any]) -> object:
        call = params.get("toolCall")
        call = call if isinstance(call, dict) else {}
        given = params.get("options")
        choices = tuple(
            Choice(o["optionId"], str(o.get("name") or o["optionId"]), str(o.get("kind")))
            for o in (given if isinstance(given, list) else [])
            if isinstance(o, dict) and isinstance(o.get("optionId"), str)
        )
        if self._cancelled.is_set():
            return {"outcome": {"outcome": "cancelled"}}
        answer = await self._desk.questions.ask(
            str(call.get("title") or "the agent asks for leave"),
            contents_text(call.get("content")),
            choices,
            {"kind": call.get("kind"), "input": call.get("rawInput"), "locations": call.get("locations")},
            str(call.get("toolCallId") or "") or None,
        )
        if answer.option is None:
            return {"outcome": {"outcome": "cancelled"}}
        if answer.status == "allowed":
            once = any(choice.id == answer.option and choice.kind == "allow_once" for choice in choices)
            self._leaves.extend(leave_of(call.get("rawInput"), once=once))
        return {"outcome": {"outcome": "selected", "optionId": answer.option}}


def _introduction(said: dict[str, Any], program: str) -> Introduction:
    version = said.get("protocolVersion")
    if type(version) is not int:
        raise AgentTrouble("protocol", "the agent introduced itself without a version of the protocol")
    if version != PROTOCOL:
        raise AgentTrouble("protocol", f"the agent speaks version {version} of the protocol, we speak {PROTOCOL}")
    info = said.get("agentInfo")
    info = info if isinstance(info, dict) else {}
    abilities = said.get("agentCapabilities")
    name = str(info.get("title") or info.get("name") or program.rpartition("/")[2])
    shown = str(info["version"]) if info.get("version") else None
    return Introduction(
        name, shown, version, _can(abilities if isinstance(abilities, dict) else {}), said.get("authMethods")
    )


def _can(abilities: dict[str, Any]) -> list[str]:
    can = ["load"] if abilities.get("loadSession") is True else []
    sessions = abilities.get("sessionCapabilities")
    if isinstance(sessions, dict):
        can += [name for name, able in sorted(sessions.items()) if able not in (None, False)]
    prompts = abilities.get("promptCapabilities")
    if isinstance(prompts, dict):
        can += [f"prompt:{name}" for name, able in sorted(prompts.items()) if able is True]
    return can


def _said(error: RpcError) -> str:
    """What an error says, with the detail that many keep in its data."""
    detail = error.data if isinstance(error.data, str) else None
    if isinstance(error.data, dict):
        detail = str(error.data.get("details") or error.data.get("message") or "") or None
    return error.message if detail is None or detail == error.message else f"{error.message}: {detail}"


def _prompt_trouble(error: RpcError, turn: Turn) -> AgentTrouble:
    text = _said(error)
    if error.code == AUTH_REQUIRED:
        return AgentTrouble("login_wanted", f"the agent wants somebody to log in: {text}",
                            hint=acp_login.login_hint(None, turn.agent.command))  # fmt: skip
    return AgentTrouble("agent_error", f"the agent failed: {text}")


def _sum(before: Usage | None, now: Usage | None) -> Usage | None:
    """What several prompts of one turn used."""
    if before is None or now is None:
        return now or before

    def plus(a: Any, b: Any) -> Any:  # noqa: ANN401
        return b if a is None else a if b is None else a + b

    return Usage(
        input_tokens=plus(before.input_tokens, now.input_tokens),
        output_tokens=plus(before.output_tokens, now.output_tokens),
        total_tokens=plus(before.total_tokens, now.total_tokens),
        cost_usd=plus(before.cost_usd, now.cost_usd),
    )


def _path(params: dict[str, Any]) -> str:
    if not isinstance(params.get("path"), str):
        raise RpcError(INVALID_PARAMS, "path: must be text")
    path: str = params["path"]
    return path


def _number(params: dict[str, Any], name: str) -> int | None:
    given = params.get(name)
    return given if type(given) is int and given >= 0 else None
