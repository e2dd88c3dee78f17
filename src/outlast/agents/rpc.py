"""JSON-RPC over the pipes of an agent, one message a line; patient with noise, strict with answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from outlast.agents import tidy
from outlast.agents.backend import AgentTrouble
from outlast.agents.child import DRAIN_SECONDS, READ_SIZE, Child
from outlast.core.text import sound

LINE_MAX = 16 * 1024 * 1024
"""Bytes of one message; longer ones are skipped, and fatal where they may be the answer that is waited for."""
NOISE_MAX = 200
"""Lines in a row that are no messages: then the program does not speak the protocol."""
ANSWERS_MAX = 256
"""Requests of an agent that wait for their answer; what it asks beyond that is refused at once."""
HEED_SECONDS = 60.0
"""How long an agent may read nothing of a great deal it has asked for."""
DEAF_SECONDS = 2.0
"""How long the end is waited for of an agent that has closed its input: it says more than that."""
BUSY = -32005
PARSE_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, INTERNAL_ERROR = -32700, -32602, -32601, -32603
_HEAD = 4096


class RpcError(Exception):
    """The other side answered with an error, or ours to give it one."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


Handler = Callable[[str, dict[str, Any]], Awaitable[object]]
Notified = Callable[[str, dict[str, Any]], None]


class Rpc:
    """A connection to an agent, from `start` to `stop`.

    With ``noise_seconds`` it is given up so long after the first line that is no message, if none has come since.
    """

    def __init__(
        self,
        child: Child,
        *,
        handle: Handler,
        notified: Notified,
        note: Callable[[str], None],
        room: Callable[[], Awaitable[None]],
        noise_seconds: float | None = None,
    ) -> None:
        self._child = child
        self._handle = handle
        self._notified = notified
        self._note = note
        self._room = room
        self._ids = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._left: set[int] = set()
        self._noise_seconds = noise_seconds
        self.first_noise = ""
        """The first line that was no message, safe to show; empty when there was none."""
        self._noise = 0
        self._noted = 0
        self._answering: set[asyncio.Task[None]] = set()
        self._dead: AgentTrouble | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Listen from now on."""
        listening = asyncio.create_task(self._listen())
        self._tasks = [listening, asyncio.create_task(self._watch(listening))]

    async def stop(self) -> None:
        """Listen no more."""
        for task in (*self._tasks, *self._answering):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def request(self, method: str, params: dict[str, object], seconds: float | None = None) -> dict[str, Any]:
        """Ask and wait for the answer. Raises RpcError, AgentTrouble (agent_exited, protocol), TimeoutError."""
        if self._dead is not None:
            raise self._dead
        self._ids += 1
        number = self._ids
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        told = self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        try:
            result = await asyncio.wait_for(answer, seconds if told else DEAF_SECONDS)
        except TimeoutError:
            if told:
                raise
            what = "the agent closed its input before it was told everything"
            raise AgentTrouble("agent_exited", what) from None
        finally:
            if self._waiting.pop(number, None) is not None:
                self._left.add(number)
        return result if isinstance(result, dict) else {}

    def notify(self, method: str, params: dict[str, object]) -> None:
        """Tell the agent something."""
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    async def _listen(self) -> None:
        async for line, whole in lines(self._child.stdout, LINE_MAX):
            self._take(line) if whole else self._skipped(line)
            await self._room()
            if self._answering:
                await asyncio.sleep(0)  # what can be answered at once is, before it asks for more
            if not self._child.heeds.is_set():
                await self._until_it_heeds()

    async def _until_it_heeds(self) -> None:
        try:
            await asyncio.wait_for(self._child.heeds.wait(), HEED_SECONDS)
        except TimeoutError:
            self.fail(AgentTrouble("protocol", f"the agent asks, and has read no answer for {HEED_SECONDS:g} s"))

    async def _watch(self, listening: asyncio.Task[None]) -> None:
        """Fail whoever still waits when the agent or its output has ended. Its children may hold the output open."""
        leaving = asyncio.create_task(self._child.gone())
        await asyncio.wait({listening, leaving}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({listening, leaving}, timeout=DRAIN_SECONDS)
        if not leaving.done():
            leaving.cancel()
            self.fail(AgentTrouble("agent_exited", "the agent closed its output in the middle of the turn"))
            return
        await self._child.drained()
        self.fail(exited(self._child, "before it had answered"))

    def fail(self, trouble: AgentTrouble) -> None:
        """End all waiting, now and later, with a reason; the first reason counts."""
        self._dead = self._dead or trouble
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(trouble)
        for task in self._answering:
            task.cancel()

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        message = _decode(line)
        method = message.get("method") if isinstance(message, dict) else None
        if not isinstance(message, dict) or not (isinstance(method, str) or ("id" in message and method is None)):
            self._heard_noise(line)
            return
        self._noise = 0
        if isinstance(method, str):
            self._called(method, message)
        elif "result" in message or "error" in message:
            self._answered(message)
        else:
            self._broken(message, "neither a result nor an error")

    def _called(self, method: str, message: dict[str, Any]) -> None:
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        if "id" not in message:
            try:
                self._notified(method, params)
            except Exception as error:  # one bad piece of news is no end of the turn
                self._note(f"news of the agent was not understood: {type(error).__name__}: {error}")
            return
        if len(self._answering) >= ANSWERS_MAX:
            refusal = {"code": BUSY, "message": f"{ANSWERS_MAX} requests wait for their answer: ask again later"}
            self._send({"jsonrpc": "2.0", "id": message["id"], "error": refusal})
            return
        task = asyncio.create_task(self._answer(message["id"], method, params))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, number: object, method: str, params: dict[str, Any]) -> None:
        reply: dict[str, object] = {"jsonrpc": "2.0", "id": number}
        try:
            reply["result"] = await self._handle(method, params)
        except RpcError as error:
            reply["error"] = {"code": error.code, "message": error.message}
        except Exception as error:  # one bad request of the agent's is no end of the turn
            reply["error"] = {"code": INTERNAL_ERROR, "message": f"{type(error).__name__}: {error}"}
        self._send(reply)

    def _answered(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        answer = self._waiting.get(number) if type(number) is int else None
        if answer is None:
            if type(number) is int and number in self._left:
                self._left.discard(number)
            else:
                self._broken(message, f"the id {str(number)[:40]!r}, which was not asked under")
            return
        if answer.done():
            return
        if "error" in message and message["error"] is not None:
            answer.set_exception(_error_of(message["error"]))
        else:
            answer.set_result(message.get("result"))

    def _broken(self, message: dict[str, Any], what: str) -> None:
        """An answer nobody can use. When one is waited for, it was meant to be that one."""
        text = f"the agent answered with {what}"
        waiting = [answer for answer in self._waiting.values() if not answer.done()]
        if len(waiting) == 1:
            waiting[0].set_exception(AgentTrouble("protocol", text))
        else:
            self._note(text)

    def _heard_noise(self, line: bytes) -> None:
        self._noise += 1
        self._noted += 1
        shown = tidy.title(line.decode("utf-8", "replace"))[:200]
        if self._noted == 1:
            self.first_noise = shown
            if self._noise_seconds is not None:
                asyncio.get_running_loop().call_later(self._noise_seconds, self._only_noise)
        if self._noted <= 3:
            self._note(f"the agent wrote something that is not a message: {shown}")
        if self._noise >= NOISE_MAX:
            self._no_protocol(shown)

    def _only_noise(self) -> None:
        if self._noise == self._noted:
            self._no_protocol(self.first_noise)

    def _no_protocol(self, shown: str) -> None:
        self.fail(AgentTrouble("protocol", f"the agent does not speak the protocol; it writes, for one: {shown}"))

    def _skipped(self, head: bytes) -> None:
        text = f"the agent wrote a message of more than {LINE_MAX // 1024 // 1024} MiB"
        if b'"method"' in head[:_HEAD]:
            self._note(f"{text}, which was skipped")
        else:
            self.fail(AgentTrouble("protocol", text))

    def _send(self, message: dict[str, object]) -> bool:
        """Tell the agent something; False when it has closed its input."""
        stdin = self._child.stdin
        if stdin is None or stdin.is_closing():
            return False
        stdin.write(msgspec.json.encode(sound(message)) + b"\n")
        return not stdin.is_closing()


def exited(child: Child, when: str = "") -> AgentTrouble:
    """Return the trouble of an agent that has ended on its own."""
    words = child.last_words()
    said = f"the agent ended with {child.how()} {when}".rstrip()
    return AgentTrouble("agent_exited", f"{said}: {words}" if words else said)


async def lines(reader: asyncio.StreamReader, limit: int) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield (line, True); of a line longer than ``limit`` its beginning, with False. No line end at the end is fine."""
    buffer = bytearray()
    skipping = False
    while data := await reader.read(READ_SIZE):
        parts = data.split(b"\n")
        for part in parts[:-1]:
            if skipping:
                skipping = False
            else:
                yield bytes(buffer) + part, True
            buffer.clear()
        if skipping:
            continue
        buffer += parts[-1]
        if len(buffer) > limit:
            yield bytes(buffer[:READ_SIZE]), False
            buffer.clear()
            skipping = True
    if buffer:
        yield bytes(buffer), True


def _decode(line: bytes) -> object:
    try:
        return sound(msgspec.json.decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return sound(json.loads(line.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        return None


def _error_of(given: object) -> RpcError:
    if not isinstance(given, dict):
        return RpcError(INTERNAL_ERROR, str(given))
    code, message = given.get("code"), given.get("message")
    return RpcError(
        code if type(code) is int else INTERNAL_ERROR, str(message or "an error without a message"), given.get("data")
    )
