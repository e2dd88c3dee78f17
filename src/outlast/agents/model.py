"""Models spoken to directly: the loop of requests and tool calls runs here, in the runner, never in the gateway.

What the model can do is what it was given of outlast (`outlast.agents.model_tools`), asked of the gateway as anybody
asks. What was said is kept in a file of the home, so that the next turn goes on from it.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from outlast._version import __version__
from outlast.agents import tidy
from outlast.agents.backend import AgentTrouble, Ended, Steer
from outlast.agents.desk import Desk
from outlast.agents.model_history import History
from outlast.core.agent import AgentSpec, Turn, Usage
from outlast.core.errors import OutlastError

if TYPE_CHECKING:
    from pydantic_ai import Agent, AgentRun
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

TOOL_CALLS_PER_REQUEST = 8
"""How many calls of tools a turn may take for each request it may take."""
WRONG_CALLS_MAX = 3
"""How often in a row a tool may be called wrongly, or one that is not there, before the model is given up."""
MEMORY_MAX = 1024 * 1024 * 1024
"""Bytes of memory a turn may take: an endpoint that sends without an end shall not take the machine."""
_ADVICE = ". Consider raising the retry limit"
"""How the library begins what it tells programmers, who are not those who read it here."""
_STOPS = {"length": "max_tokens", "content_filter": "refusal"}
_EXTRA = "pip install 'outlast[models]'"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_LIBRARY = re.compile(r"pydantic-ai-slim\[[a-z0-9-]+\]")


class ModelBackend:
    """One turn of a model."""

    def __init__(self, turn: Turn, env: Mapping[str, str], desk: Desk) -> None:
        self._turn = turn
        self._env = env
        self._desk = desk
        self._history = History(env)
        self._run: AgentRun[None, Any] | None = None
        self._working: asyncio.Task[Ended] | None = None
        self._cancelled = False
        self._early: list[Steer] = []

    async def run(self) -> Ended:
        """Ask the model until it has nothing more to do. Raises AgentTrouble."""
        _bound_memory()
        agent = prepare(self._turn, self._env)
        self._desk.ready(self._turn.agent.model, version=__version__, can=list(self._turn.agent.tools))
        self._working = asyncio.create_task(self._turn_of(agent))
        if self._cancelled:
            self._working.cancel()
        try:
            return await self._working
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
            return Ended("cancelled", agent_session=self._turn.agent_session)

    def steer(self, steer: Steer) -> None:
        """Say it with the next request, or with one of its own when the model would be done."""
        if self._run is None:
            self._early.append(steer)
            return
        from pydantic_ai.exceptions import UserError

        try:
            self._run.enqueue(steer.text)
        except UserError:
            self._desk.steered(steer, "dropped")
        else:
            self._desk.steered(steer, "sent")

    def cancel(self) -> None:
        """Break off what is being asked."""
        self._cancelled = True
        if self._run is not None:
            self._run.cancel()
        elif self._working is not None:
            self._working.cancel()

    async def close(self) -> None:
        """Nothing of ours runs outside of the turn."""
        for steer in self._early:
            self._desk.steered(steer, "dropped")
        self._early.clear()

    async def _turn_of(self, agent: Agent[None, str]) -> Ended:
        from pydantic_ai.exceptions import RunCancelled, UsageLimitExceeded

        before = self._turn.agent_session
        said = self._history.load(before)
        if before is not None and said is None:
            self._desk.note(f"what was said before ({before}) is gone: a new conversation is begun")
        session = before if said else secrets.token_hex(8)
        self._desk.begun(session, resumed=bool(said), model=self._turn.agent.model)
        stop = "end_turn"
        try:
            await self._ask(agent, said or [])
            stop = self._stopped(before)
        except AgentTrouble:
            raise
        except UsageLimitExceeded as limit:
            stop = "max_tokens" if "token" in str(limit) else "max_turns"
            self._desk.note(f"the turn was stopped at its limit: {limit}")
        except RunCancelled as end:
            self._keep(session, end.all_messages())
            return Ended("cancelled", usage=self._used(), agent_session=session)
        except Exception as error:
            raise _trouble(error, self._turn.agent, Ended("error", usage=self._used(), agent_session=before)) from error
        assert self._run is not None
        self._keep(session, self._run.all_messages())
        return Ended(stop, usage=self._used(), agent_session=session)

    def _keep(self, session: str | None, messages: list[ModelMessage]) -> None:
        """Keep what was said; where that cannot be, the turn is what it was all the same: its answer is there."""
        try:
            self._history.save(session, messages)
        except (OSError, OutlastError) as error:
            self._desk.note(f"what was said cannot be kept, so the next turn does not know of it: {error}")

    def _stopped(self, before: str | None) -> str:
        """Say why the model has stopped. Raises AgentTrouble where it did not, and its answer merely ends somewhere."""
        from pydantic_ai.messages import ModelResponse

        assert self._run is not None
        answers = [message for message in self._run.all_messages() if isinstance(message, ModelResponse)]
        reason = answers[-1].finish_reason if answers else None
        if reason in (None, "error"):
            raise AgentTrouble(
                "agent_error", "the model failed: its answer broke off before it was complete",
                ended=Ended("error", usage=self._used(), agent_session=before),
            )  # fmt: skip
        return _STOPS.get(str(reason), "end_turn")

    async def _ask(self, agent: Agent[None, str], said: list[ModelMessage]) -> None:
        from pydantic_ai import UsageLimits

        from outlast.agents.model_events import follow

        spec = self._turn.agent
        limits = UsageLimits(
            request_limit=spec.requests_max,
            tool_calls_limit=spec.requests_max * TOOL_CALLS_PER_REQUEST,
            total_tokens_limit=spec.tokens_max,
        )
        async with agent.iter(self._turn.prompt, message_history=said, usage_limits=limits) as run:
            self._run = run
            early, self._early = self._early, []
            for steer in early:
                self.steer(steer)
            await follow(run, self._desk)

    def _used(self) -> Usage | None:
        return None if self._run is None else _usage_of(self._run.usage)


def _bound_memory() -> None:
    """Have this process told that there is no memory long before others are."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = MEMORY_MAX if most == resource.RLIM_INFINITY else min(MEMORY_MAX, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def prepare(turn: Turn, env: Mapping[str, str]) -> Agent[None, str]:
    """Put the agent of a turn together. Raises AgentTrouble (missing_extra, login_wanted)."""
    spec = turn.agent
    os.environ.update(env)  # the libraries look for keys and addresses there
    try:
        from pydantic_ai import Agent

        from outlast.agents.model_tools import make_tools

        return Agent(
            _model(spec.model), instructions=spec.system or None, tools=make_tools(turn, env), name=spec.name,
            retries=WRONG_CALLS_MAX,
        )  # fmt: skip
    except ImportError as error:
        missing = error.name or str(error).partition("\n")[0]
        other = _LIBRARY.search(missing)  # of a provider that the extra does not bring
        raise AgentTrouble(
            "missing_extra", f"the model {spec.model} needs a library that is not installed: {missing}",
            hint=f"pip install '{other[0]}'" if other else _EXTRA,
        ) from None  # fmt: skip
    except Exception as error:  # each library has its own for a key that is missing
        said = str(error).partition("\n")[0]
        if "api_key" in said.lower() or "environment variable" in said:
            named = _VARIABLE.search(said)
            variable = named[0] if named else _usual_variable(spec.model)
            raise AgentTrouble(
                "login_wanted", f"the model {spec.model} wants a key: {variable} is not set",
                hint=_where(variable, spec.name),
            ) from None  # fmt: skip
        raise AgentTrouble(
            "agent_error", f"the model {spec.model} cannot be used: {said}",
            hint="correct model of the agent: PROVIDER:NAME",
        ) from None  # fmt: skip


def _usual_variable(model: str) -> str:
    """Return the variable in which the library of a provider looks for the key, where nobody has said so."""
    provider = model.partition(":")[0].partition("-")[0]
    return f"{provider.upper()}_API_KEY"


def _where(variable: str, agent: str) -> str:
    return f"set {variable} in env of [agents.{agent}]; outlast config path names the file"


def _model(name: str) -> Model | str:
    """Return the model of a name. ``openai:`` is the way all compatible endpoints speak, chat completions."""
    provider, _, rest = name.partition(":")
    if provider == "openai":
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile

        # Without this an answer that merely breaks off would count as whole.
        return OpenAIChatModel(rest, profile=OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True))
    from pydantic_ai.models import infer_model

    return infer_model(name)


def _usage_of(used: RunUsage) -> Usage | None:
    """Return what was used; None where the endpoint has not said so, which is not the same as nothing."""
    if not (used.input_tokens or used.output_tokens or used.cost):
        return None
    return Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        total_tokens=used.input_tokens + used.output_tokens,
        cost_usd=None if used.cost is None else float(used.cost),
    )


def _trouble(error: Exception, spec: AgentSpec, ended: Ended) -> AgentTrouble:
    """Return what an error of the library means: some ask for a login, all others are the model's or the network's."""
    from pydantic_ai.exceptions import ModelHTTPError

    try:
        told = str(error)
    except MemoryError as too_much:  # it quotes what was sent
        return _trouble(too_much, spec, ended)
    if isinstance(error, ModelHTTPError) and error.status_code in (401, 403):
        hint = _where(_usual_variable(spec.model), spec.name)
        return AgentTrouble("login_wanted", f"the endpoint does not take the key: {told}", hint=hint, ended=ended)
    if isinstance(error, MemoryError):
        said = f"what it sends is more than {MEMORY_MAX // 1024 // 1024} MiB of memory can hold"
    else:
        said = f"{type(error).__name__}: {tidy.cut(told, tidy.TEXT_MAX).partition(_ADVICE)[0]}"
    return AgentTrouble("agent_error", f"the model failed: {said}", ended=ended)
