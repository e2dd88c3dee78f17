"""The live table: start, find, wait for, steer, end and forget sessions.

The directory of a session is the truth; this table only knows which sessions are live and who waits for them. Nothing
here grows with history: ended sessions are read from disk when somebody asks.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
from signal import SIGTERM
from typing import Literal

import msgspec

from outlast.core.errors import BadInput, Conflict, GatewayTrouble, NotFound
from outlast.core.ids import timed_id
from outlast.core.redact import redact, redact_argv
from outlast.core.session import Cause, ExecSpec
from outlast.process import evidence, settle
from outlast.process.custody import NAME, AdoptReport, Custody
from outlast.process.keeper import proc
from outlast.process.keeper import record as records
from outlast.process.keeper.wire import PROTOCOL, Message
from outlast.process.link import Link, LinkLost, json_line
from outlast.process.session import DamagedRecord, KillReport, Probe, Session, SessionInfo

PREFIX_MIN = 4
"""Characters of an id that are enough to look for it by prefix."""
ASK_MAX = 5
"""Supervisors of one session asked the same thing before we give up."""
_REPEATABLE = ("kill", "resize", "probe")
"""Requests that do no harm when they are done twice."""


def new_session_id(now: float) -> str:
    """Return a fresh session id: sorts by time, safe as a file name, 15 characters."""
    return timed_id("s", now, secrets.randbits(30), 3)


class Sessions(Custody):
    """All sessions of one home."""

    # ---- starting

    def new_id(self) -> str:
        """Return a fresh session id: sorts by time, safe as a file name, 15 characters."""
        return new_session_id(self._clock.now())

    async def start(self, spec: ExecSpec, umask: int | None = None) -> Session:
        """Start a command under the keeper and return its session.

        A command that cannot be spawned comes back as an ended session with cause ``spawn_error``. Raises
        GatewayTrouble when nothing could be started or recorded (keeper gone, disk full).
        """
        # Its record is on disk before we hear of it. Whoever found it there would have a session that nobody leads
        # and wait for its end for ever, so until then there is none.
        started = self._starting[spec.id] = asyncio.Event()
        try:
            return await self._start(spec, umask)
        finally:
            self._starting.pop(spec.id, None)
            started.set()

    async def _start(self, spec: ExecSpec, umask: int | None) -> Session:
        public = _public(spec, self._boot)
        request = _request(spec, umask, public)
        for attempt in (1, 2):
            try:
                link, answer = await self._ask_keeper(request)
                break
            except (ConnectionError, FileNotFoundError, BlockingIOError, LinkLost) as error:
                if (record := records.read(f"{self._home}/sessions/{spec.id}")) is not None:
                    return await self._rescue(spec.id, record)
                if attempt == 2 or os.path.exists(f"{self._home}/sessions/{spec.id}"):
                    raise GatewayTrouble(
                        "the keeper was lost before it started the command", code="keeper_lost"
                    ) from error
                await self._ensure_keeper()
        if "error" in answer:
            raise GatewayTrouble(
                f"the command was not started: {answer.get('message') or answer['error']}",
                code="disk_full" if answer.get("errno") == 28 else "cannot_start",
                hint="outlast doctor",
            )
        session = Session(msgspec.convert(public, SessionInfo), f"{self._home}/sessions/{spec.id}")
        if answer["ev"] == "exit":
            settle.mark_settled(self._home, session.id)
            session.learn({"exit": answer, "end": {"produced": 0}})
            self._remember(session)
            self._emit("ended", session)
            return session
        session.started = evidence.Started(answer["pid"], answer["ticks"], answer["boot"], answer["at"])
        session.pid = answer["pid"]
        self._track(session, link)
        self._emit("started", session)
        return session

    async def _rescue(self, session_id: str, record: Message) -> Session:
        """A supervisor was killed in the middle of a start: go on with what there is, and never start it again."""
        session = Session.from_record(session_id, f"{self._home}/sessions/{session_id}", record)
        if session.end is None:
            self._emit("started", session)
        session.drained = False
        await self._recover(session)
        return session

    async def _ask_keeper(self, request: Message) -> tuple[Link, Message]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message] = loop.create_future()
        early: list[Message] = []

        def first(message: Message) -> None:
            if answer.done():
                early.append(message)
            else:
                answer.set_result(message)

        link = Link()
        link.on_event = first
        link.on_lost = lambda: None if answer.done() else answer.set_exception(LinkLost())
        await link.open(f"{self._run}/keeper.sock", request)
        message = await answer
        link.early = early
        return link, message

    async def forestall(self, session_id: str) -> bool:
        """Make sure that a session which is not there never will be: a start of that id that is still on its way fails.

        False when it is there after all; then it has been adopted, if its supervisor came as far as to say what it is.
        """
        folder = f"{self._home}/sessions/{session_id}"
        for _ in range(settle.KNOCKS):
            if evidence.forestall(folder):
                return True
            if records.read(folder) is not None:
                if session_id not in self._live:
                    await self._adopt(session_id)
                return False
            await self._clock.sleep(settle.KNOCK_SECONDS)  # its supervisor is just writing the first line
        return False

    async def take_up(self, session_id: str) -> Session | None:
        """Return the session of that very id, adopted by now however it was left; None without a record of it."""
        if not os.path.exists(f"{self._home}/sessions/{session_id}/record"):
            return None
        try:
            session = self.get(session_id)
            if session.end is None and session_id not in self._live:
                await self._adopt(session_id)
            return self.get(session_id)
        except NotFound:
            return None

    def traces(self, session_id: str) -> list[int]:
        """Return the processes that carry the mark of a session, whatever became of its record."""
        return proc.marked(session_id, 0)

    # ---- finding

    async def until_started(self, name: str) -> None:
        """Return when a session that is just being started is there, or will not come; at once for any other."""
        if (started := self._starting.get(name)) is not None:
            await started.wait()

    def get(self, name: str) -> Session:
        """Return a session by id or unique prefix (4 characters or more). Raises NotFound, BadInput (``ambiguous``)."""
        found = self._live.get(name) or self._recent.get(name)
        if found is not None:
            return found
        if not NAME.match(name) or name in self._starting:
            raise NotFound(f"no session {name!r}", hint="outlast process list shows them")
        folder = f"{self._home}/sessions/{name}"
        record = records.read(folder)
        if record is not None:
            try:
                session = Session.from_record(name, folder, record)
            except DamagedRecord as error:
                raise NotFound(str(error), hint=f"see {folder}") from error
            self._remember(session)
            return session
        matches = [] if len(name) < PREFIX_MIN else [n for n in self._names() if n.startswith(name) and n != name]
        if len(matches) == 1:
            return self.get(matches[0])
        if matches:
            shown = ", ".join(matches[-5:])
            raise BadInput(f"{name!r} matches {len(matches)} sessions", code="ambiguous", hint=f"for example {shown}")
        raise NotFound(f"no session {name!r}", hint="outlast process list shows them")

    def live(self) -> list[Session]:
        """Return the sessions whose command runs or whose leftovers do, oldest first."""
        return sorted(self._live.values(), key=lambda session: session.id)

    def ended(self, *, limit: int, before: str | None = None) -> list[Session]:
        """Return ended sessions, newest first, read from disk; ``before`` continues after the last of a page."""
        out: list[Session] = []
        for name in self._names(newest_first=True):
            if len(out) >= limit:
                break
            if name in self._live or (before is not None and name >= before):
                continue
            try:
                out.append(self.get(name))
            except NotFound:
                continue
        return out

    def count_ended(self) -> int:
        """Return how many ended sessions still have a record."""
        return max(0, len(self._names()) - len(self._live))

    def find_running(self, start_key: str) -> Session | None:
        """Return the running session that a start with this key would double, or None."""
        return self._by_key.get(start_key)

    def _names(self, *, newest_first: bool = False) -> list[str]:
        try:
            return sorted(os.listdir(f"{self._home}/sessions"), reverse=newest_first)
        except FileNotFoundError:
            return []

    # ---- waiting

    async def until_output(self, session: Session, after: int) -> None:
        """Return when more than ``after`` bytes were produced or the command has ended."""
        while session.end is None and session.produced <= after:
            self._watch(session, after)
            await self._next_news(session)

    async def until_more(self, session: Session, after: int) -> None:
        """Return when more than ``after`` bytes were produced or no more can come, leftovers included."""
        while not session.drained and session.produced <= after:
            self._watch(session, after)
            await self._next_news(session)

    async def until_end(self, session: Session) -> None:
        """Return when the command has ended; never waits for its pipes."""
        while session.end is None:
            await self._next_news(session)

    async def until_drained(self, session: Session) -> None:
        """Return when no more output can come: the command and all it left behind have ended."""
        while not session.drained:
            await self._next_news(session)

    def _watch(self, session: Session, after: int) -> None:
        """Have the supervisor tell once when output passes an offset."""
        if session.link is not None and not session.watched:
            session.watched = True
            session.link.post({"op": "watch", "after": after})

    async def _next_news(self, session: Session) -> None:
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        session.waiters.add(news)
        try:
            await news
        finally:
            session.waiters.discard(news)

    # ---- steering

    async def write(self, session: Session, data: bytes, eof: bool = False) -> int:
        """Feed standard input; returns the bytes taken. Raises Conflict."""
        fields = {"data": base64.b64encode(data).decode("ascii"), "eof": eof}
        return int((await self._ask(session, "write", **fields))["accepted"])

    async def signal(self, session: Session, signum: int, *, scope: Literal["leader", "group", "tree"]) -> int:
        """Send a signal; returns how many processes or groups it went to. Raises Conflict."""
        return int((await self._ask(session, "signal", signal=signum, scope=scope))["sent"])

    async def resize(self, session: Session, cols: int, rows: int) -> None:
        """Set the window size of a pty session. Raises Conflict."""
        await self._ask(session, "resize", cols=cols, rows=rows)
        session.cols, session.rows = cols, rows

    async def probe(self, session: Session) -> Probe:
        """Look at a live session: whether it waits for input, and how many processes it has."""
        reply = await self._ask(session, "probe")
        return Probe(reply["waiting"], reply["processes"])

    async def kill(
        self,
        session: Session,
        *,
        cause: Cause = Cause.OPERATOR,
        signum: int = SIGTERM,
        grace: float | None = None,
    ) -> KillReport:
        """End the whole tree and return who was ended: ``signum`` first, SIGKILL after ``grace`` seconds.

        Also ends what a finished command left behind. Raises Conflict when nothing is left.
        """
        if session.unsupervised is not None:
            return await self._kill_unsupervised(session, cause, signum, grace)
        try:
            reply = await self._ask(session, "kill", cause=cause.value, signal=signum, grace=grace)
        except Conflict as error:
            if error.code != "unsupervised":
                raise
            return await self._kill_unsupervised(session, cause, signum, grace)
        if reply.get("exit"):
            self._ended(session, evidence.exit_of({"exit": reply["exit"]}))
            session.wake()
        return KillReport([tuple(row) for row in reply["ended"]], [tuple(row) for row in reply["survivors"]])

    async def _kill_unsupervised(self, session: Session, cause: Cause, signum: int, grace: float | None) -> KillReport:
        report = await settle.kill_unsupervised(session, cause.value, signum, grace)
        if not report.survivors:
            await self.until_end(session)
        return report

    async def _ask(self, session: Session, op: str, **fields: object) -> Message:
        """Ask the supervisor. One that is killed over it is replaced, and asked again what may be done twice."""
        for _ in range(ASK_MAX):
            while session.link is None and session.end is None and session.unsupervised is None:
                await self._next_news(session)  # it was killed, and is being replaced
            if session.link is None:
                raise _no_supervisor(session)
            try:
                return await session.link.ask(op, **fields)
            except LinkLost:
                if session.end is None and op not in _REPEATABLE:
                    raise GatewayTrouble(
                        "the session's supervisor was killed in this moment: this may or may not have been done",
                        code="keeper_lost",
                        hint=f"outlast process poll {session.id}",
                    ) from None
                await asyncio.sleep(0)
        raise GatewayTrouble("the session's supervisors do not stay alive", code="keeper_lost")

    # ---- forgetting

    async def remove(self, session: Session) -> None:
        """Forget an ended session with its output. Raises Conflict while anything of it still runs."""
        if session.end is None:
            raise Conflict("the command still runs", code="still_running", hint=f"outlast process kill {session.id}")
        if session.id in self._live:
            raise Conflict(
                f"{session.leftovers} processes it left behind still run",
                code="still_running",
                hint=f"outlast process kill {session.id}",
            )
        self._recent.pop(session.id, None)
        await asyncio.to_thread(shutil.rmtree, session.folder, ignore_errors=True)

    async def prune(self, *, keep_seconds: float, keep_bytes: int, keep_records_seconds: float = 7 * 86400.0) -> int:
        """Drop output that ended long ago or exceeds the total size, oldest first; one bounded pass.

        Their records stay for ``keep_records_seconds``. Returns how many were touched.
        """
        names = [name for name in self._names() if name not in self._live]
        folder = f"{self._home}/sessions"
        touched = await asyncio.to_thread(
            settle.prune, folder, names, self._clock.now(), keep_seconds, keep_bytes, keep_records_seconds
        )
        for name in touched:
            self._recent.pop(name, None)
        return len(touched)


_STARTING = (
    *("id", "argv", "cwd", "env", "stdin", "stdin_text", "pty", "cols", "rows", "streams"),
    *("timeout_seconds", "idle_timeout_seconds", "grace_seconds", "leftovers", "output_cap"),
)
"""What a supervisor needs to know; the rest only goes on record."""


def _public(spec: ExecSpec, boot: str) -> Message:
    """Return what goes on record of a start: no value of the environment, no input, and no secret that is recognised.

    The command itself gets everything as it was given; this is what is stored and shown.
    """
    public = {key: value for key, value in msgspec.to_builtins(spec).items() if key != "env" and value is not None}
    public["command"] = redact(spec.command)
    if spec.argv and spec.argv[-1] == spec.command:  # a line for the shell
        public["argv"] = [*spec.argv[:-1], public["command"]]
    else:
        public["argv"] = redact_argv(spec.argv)
    if spec.title is not None:
        public["title"] = redact(spec.title)
    public["labels"] = [redact(label) for label in spec.labels]
    if spec.stdin_text is not None:
        public["stdin_text"] = ""
    public["boot"] = boot
    return public


def _request(spec: ExecSpec, umask: int | None, public: Message) -> Message:
    """Compose a start: what the supervisor needs, and the line it puts on record."""
    needed = {key: value for key in _STARTING if (value := getattr(spec, key)) is not None}
    if umask is not None:
        needed["umask"] = umask
    return {"op": "start", "protocol": PROTOCOL, "spec": needed, "line": json_line(public)}


def _no_supervisor(session: Session) -> Conflict:
    if session.end is None:
        return Conflict(
            "the session lost its supervisor and can only be waited for or killed",
            code="unsupervised",
            hint=f"outlast process kill {session.id}",
        )
    return Conflict("the command has already ended", code="session_ended", hint=f"outlast process log {session.id}")


__all__ = ["AdoptReport", "KillReport", "Probe", "Session", "SessionInfo", "Sessions"]
