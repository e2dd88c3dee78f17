"""A scripted agent that spills the secrets of its prompt everywhere it can.

leaky_acp.py [WORD …]     `leak` ends well, `leak-error` with an error; the last line of the prompt is a JSON list
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
import scripted_acp as agent


def leak(request, session, said):
    """Say them as text in small pieces, as thoughts, plans, tools, questions, and on standard error."""
    for secret in [*json.loads(said.splitlines()[-1]), os.environ["DEPLOY_TOKEN"], os.environ["API_KEY"]]:
        for kind in ("agent_message_chunk", "agent_thought_chunk"):
            for at in range(0, len(secret), 5):
                agent.text(session, secret[at : at + 5], kind)
            agent.text(session, " \n", kind)
        agent.text(session, f"{'x ' * 40_000}{secret} {'y ' * 40_000}")
        agent.update(session, sessionUpdate="plan", entries=[{"content": secret, "status": "pending"}])
        agent.update(
            session, sessionUpdate="tool_call", toolCallId=secret, title=f"{'t' * 1990} {secret}", kind="execute",
            status="pending", rawInput={"command": secret, secret: [{"deep": secret}], "long": "z " * 16_380 + secret},
            locations=[{"path": f"/{secret}"}],
        )  # fmt: skip
        content = [{"type": "content", "content": {"type": "text", "text": f"{'z' * 32_750} {secret}"}}]
        agent.update(session, sessionUpdate="tool_call_update", toolCallId="t", status="completed", content=content)
        agent.update(session, sessionUpdate="tool_call_update", toolCallId="t", rawOutput={"out": secret}, title=secret)
        agent.write(f"noise {'n' * 180} {secret}")
        sys.stderr.write(f"{secret}\n{'e' * 500} {secret}\n")
        sys.stderr.flush()
        agent.ask("fs/read_text_file", {"sessionId": session, "path": f"/etc/{secret}"})
        agent.ask(secret, {})
        agent.ask(
            "session/request_permission",
            {"sessionId": session,
             "toolCall": {"toolCallId": secret, "title": secret, "rawInput": {"command": secret},
                          "content": [{"type": "content", "content": {"type": "text", "text": secret}}]},
             "options": [{"optionId": "yes", "name": secret, "kind": "allow_once"}]},
        )  # fmt: skip
        made = agent.ask(
            "terminal/create",
            {"sessionId": session, "command": "sh", "args": ["-c", f"echo \"{secret}\"; echo \"{secret}\" >&2; false"],
             "env": [{"name": "PLAIN", "value": secret}], "cwd": os.getcwd()},
        )  # fmt: skip
        number = made["result"]["terminalId"]
        for method in ("wait_for_exit", "output", "release"):
            agent.ask(f"terminal/{method}", {"sessionId": session, "terminalId": number})
        agent.ask("terminal/create", {"sessionId": session, "command": f"/no/such/{secret}", "args": [secret]})
        agent.ask("terminal/create", {"sessionId": session, "command": "true", "cwd": f"/etc/{secret}"})
        agent.ask("terminal/output", {"sessionId": session, "terminalId": secret})
    if "leak-error" in agent.HABITS:
        sys.stderr.write(f"fatal: {secret}\n")
        sys.stderr.flush()
        agent.answer(request, error={"code": -32603, "message": f"no: {secret}", "data": {"details": secret}})
        return None
    agent.text(session, f"the answer is {secret}")
    return "end_turn"


agent.TURNS.update({"leak": leak, "leak-error": leak})
agent.main()
