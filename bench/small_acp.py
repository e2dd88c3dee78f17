"""An agent that speaks ACP and does next to nothing: it answers, or waits when it is told to. Standard library only."""

import json
import sys
import time


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        method, given = asked.get("method"), asked.get("params") or {}
        result: dict[str, object] = {}
        if method == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {}, "authMethods": []}
        elif method == "session/new":
            result = {"sessionId": "s1"}
        elif method == "session/prompt":
            said = given["prompt"][0]["text"]
            update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": f"you said: {said}"}}
            say({"method": "session/update", "params": {"sessionId": "s1", "update": update}})
            if "wait" in said:
                time.sleep(600)
            result = {"stopReason": "end_turn"}
        if "id" in asked:
            say({"id": asked["id"], "result": result})


def say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
