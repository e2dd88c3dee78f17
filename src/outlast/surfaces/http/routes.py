"""The table of addresses: method, path, and the act behind them."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One address. ``act`` is a word of `outlast.api.acts`, or of an answer that is not one JSON object."""

    method: str
    path: str
    act: str
    summary: str


ROUTES = (
    Row("POST", "/v1/exec", "exec", "Run a command."),
    Row("POST", "/v1/sessions/{id}/poll", "poll", "What is new since the reader's cursor."),
    Row("GET", "/v1/sessions/{id}", "show", "How one session stands."),
    Row("GET", "/v1/sessions", "list", "Sessions, live ones first."),
    Row("GET", "/v1/status", "status", "How the gateway is."),
    Row("GET", "/v1/sessions/{id}/log", "log", "Output by lines or bytes."),
    Row("GET", "/v1/sessions/{id}/output", "output", "Raw octets of the output."),
    Row("GET", "/v1/sessions/{id}/stream", "stream", "Follow the output as octets or frames."),
    Row("GET", "/v1/sessions/{id}/events", "session-events", "Follow the output as server-sent events."),
    Row("GET", "/v1/events", "events", "Sessions as they start and end, as server-sent events."),
    Row("POST", "/v1/wait", "wait", "Wait for an exit, a pattern, a port or quiet."),
    Row("POST", "/v1/sessions/{id}/write", "write", "Write to standard input."),
    Row("POST", "/v1/sessions/{id}/send-keys", "send-keys", "Press keys."),
    Row("POST", "/v1/sessions/{id}/submit", "submit", "Type a line and Enter."),
    Row("POST", "/v1/sessions/{id}/paste", "paste", "Paste text."),
    Row("GET", "/v1/sessions/{id}/screen", "screen", "A terminal's present screen."),
    Row("POST", "/v1/sessions/{id}/resize", "resize", "Change a terminal's size."),
    Row("POST", "/v1/sessions/{id}/signal", "signal", "Send a signal."),
    Row("POST", "/v1/sessions/{id}/kill", "kill", "End a session and its whole tree."),
    Row("DELETE", "/v1/sessions/{id}", "remove", "Forget an ended session."),
    Row("POST", "/v1/sessions/clear", "clear", "Forget all ended sessions."),
    Row("POST", "/v1/tool", "tool", "A tool call."),
    Row("POST", "/v1/gateway/stop", "stop", "Stop the gateway; sessions go on."),
    Row("GET", "/v1/openapi.json", "openapi", "This description."),
)
