"""A small mail server for tests: speaks just enough SMTP, keeps what it was given, and misbehaves on request."""

from __future__ import annotations

import asyncio
import base64
import ssl
from typing import Any, NamedTuple

from channel_servers import Server


class Mail(NamedTuple):
    sender: str
    recipients: list[str]
    data: bytes
    encrypted: bool
    login: str | None


class MailServer(Server):
    """``replies`` overrides the reply to a command (``RCPT``, ``DATA``, ``.`` for the end of the mail …).

    An empty reply hangs up, None says nothing. ``starttls`` offers TLS.
    """

    def __init__(
        self, replies: dict[str, str | None] | None = None, *, starttls: ssl.SSLContext | None = None, **options: Any
    ) -> None:
        super().__init__(self._talk, **options)
        self._replies = replies or {}
        self._starttls = starttls
        self.implicit = options.get("tls") is not None
        self.mails: list[Mail] = []
        self.commands: list[str] = []

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state: dict[str, Any] = {"encrypted": self.implicit, "login": None}
        if not await self._reply(writer, "", "220 mail.example ESMTP"):
            return
        while line := (await reader.readline()).decode("ascii").rstrip("\r\n"):
            verb = line.split()[0].upper()
            self.commands.append(line)
            if not await self._reply(writer, verb, self._usual(verb, line, state)):
                return
            if verb == "STARTTLS":
                await writer.start_tls(self._starttls)
                state["encrypted"] = True
            elif (verb == "DATA" and not await self._take(reader, writer, state)) or verb == "QUIT":
                return

    async def _reply(self, writer: asyncio.StreamWriter, verb: str, usual: str) -> bool:
        reply = self._replies.get(verb, usual)
        if reply:
            writer.write(reply.replace("\n", "\r\n").encode() + b"\r\n")
            await writer.drain()
        return reply != ""

    def _usual(self, verb: str, line: str, state: dict[str, Any]) -> str:
        if verb == "EHLO":
            more = "250-STARTTLS\n" if self._starttls and not state["encrypted"] else ""
            return f"250-mail.example\n{more}250 AUTH PLAIN"
        if verb == "AUTH":
            state["login"] = base64.b64decode(line.split()[2]).decode()
            return "235 welcome"
        if verb == "MAIL":
            state["sender"], state["recipients"] = line.partition("<")[2].partition(">")[0], []
        if verb == "RCPT":
            state["recipients"].append(line.partition("<")[2].rstrip(">"))
        return {"DATA": "354 go on", "STARTTLS": "220 go on", "QUIT": "221 bye"}.get(verb, "250 ok")

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: dict[str, Any]) -> bool:
        lines = []
        while (line := await reader.readline()) != b".\r\n":
            assert line, "hung up in the middle of a mail"
            lines.append(line.removeprefix(b"."))
        data = b"".join(lines)
        if self._replies.get(".", "250 taken").startswith("250"):  # type: ignore[union-attr]
            self.mails.append(Mail(state["sender"], state["recipients"], data, state["encrypted"], state["login"]))
        return await self._reply(writer, ".", "250 taken")
