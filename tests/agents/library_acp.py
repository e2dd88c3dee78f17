"""An agent made with the protocol's own library, which checks every message it is sent against the schema."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from acp import Agent, Client, run_agent, schema
from acp.helpers import text_block, update_agent_message


class Checked(Agent):
    """Uses all that a client offers, and says what came of it."""

    def on_connect(self, conn: Client) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, client_capabilities=None, client_info=None, **_: Any):
        assert client_capabilities.fs.read_text_file and client_capabilities.fs.write_text_file
        assert client_capabilities.terminal
        return schema.InitializeResponse(
            protocol_version=protocol_version,
            agent_info=schema.Implementation(name=f"for {client_info.name}", version="1"),
            agent_capabilities=schema.AgentCapabilities(
                load_session=True,
                session_capabilities=schema.SessionCapabilities(resume=schema.SessionResumeCapabilities()),
            ),
        )

    async def new_session(self, cwd: str, mcp_servers=None, **_: Any):
        self.cwd = cwd
        return schema.NewSessionResponse(session_id="lib-1")

    async def load_session(self, cwd: str, session_id: str, mcp_servers=None, **_: Any):
        self.cwd = cwd
        return schema.LoadSessionResponse()

    async def resume_session(self, cwd: str, session_id: str, **_: Any):
        self.cwd = cwd
        return schema.ResumeSessionResponse()

    async def prompt(self, session_id: str, prompt: list, **_: Any):
        path = f"{self.cwd}/notes.txt"
        await self.client.write_text_file(session_id=session_id, path=path, content=prompt[0].text)
        read = await self.client.read_text_file(session_id=session_id, path=path)
        call = schema.ToolCallUpdate(tool_call_id="t1", title="dig")
        options = [schema.PermissionOption(option_id="y", name="Yes", kind="allow_once")]
        answer = await self.client.request_permission(session_id=session_id, tool_call=call, options=options)
        ran = await self.run("echo run $0; exit 3", "it")
        stopped = await self.run("kill $$")
        said = f"{read.content} {answer.outcome.outcome} {ran} {stopped}"
        await self.client.session_update(session_id=session_id, update=update_agent_message(text_block(said)))
        return schema.PromptResponse(stop_reason="end_turn")

    async def run(self, *script: str) -> str:
        """Everything a terminal can do; the library checks the answers."""
        env = [schema.EnvVariable(name="A", value="1")]
        made = await self.client.create_terminal(
            command="sh", args=["-c", *script], session_id="lib-1", cwd=self.cwd, env=env, output_byte_limit=100
        )
        of = {"session_id": "lib-1", "terminal_id": made.terminal_id}
        before = await self.client.terminal_output(**of)
        ended = await self.client.wait_for_terminal_exit(**of)
        after = await self.client.terminal_output(**of)
        assert before.exit_status is None or before.exit_status.exit_code == ended.exit_code
        assert (after.exit_status.exit_code, after.exit_status.signal) == (ended.exit_code, ended.signal)
        await self.client.kill_terminal(**of)
        await self.client.release_terminal(**of)
        return f"{after.output.strip()} {ended.exit_code} {ended.signal} {after.truncated}"

    async def cancel(self, session_id: str, **_: Any) -> None:
        pass


asyncio.run(run_agent(Checked(), use_unstable_protocol="unstable" in sys.argv))
