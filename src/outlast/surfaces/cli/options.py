"""Options and arguments that several commands share."""

from __future__ import annotations

from outlast.surfaces.cli.spec import BYTES, LOOKUP, Argument, Option, choice, integer, text

CLI = "outlast.surfaces.cli."
OFFSET_MAX = 10**15

JSON = Option("--json", None, "Print JSON.")
GATEWAY = Option("--gateway", text("URL"), "Use the gateway at http://HOST:PORT (also OUTLAST_GATEWAY).")
AS = Option(
    "--as",
    text("KEY"),
    "Act as this requester, default $OUTLAST_REQUESTER: sees its own sessions and tasks only.",
    name="requester",
)
COMMON = (JSON, GATEWAY)
ASKED = (AS, JSON, GATEWAY)

RAW = Option("--raw", None, "Keep terminal escape sequences and other control bytes.")
COLS = Option("--cols", integer(1, 1000), "Width of the terminal, in columns.")
ROWS = Option("--rows", integer(1, 1000), "Height of the terminal, in rows.")
DETACH_KEY = Option("--detach-key", text("KEY"), "The key that detaches, default C-].")
SESSION = Argument("session", text("SESSION"), complete="session")
MAX_BYTES = Option("--max-bytes", integer(1, 1_048_576), "Show at most this much output, default 65536.")
PORT = integer(1, 65_535, "PORT")
TASK = Argument("task", LOOKUP, complete="task")
TASKS = Argument("tasks", LOOKUP, many=True, complete="task")

LOG_OPTIONS = (
    Option("--follow/-f", None, "Go on with what comes, to the end."),
    Option("--offset", integer(-OFFSET_MAX, OFFSET_MAX, "LINE"), "First line, from 0; negative: from the end."),
    Option("--limit", integer(1, 1_000_000), "How many lines, default 200."),
    Option("--tail/-n", integer(1, 1_000_000), "The last lines."),
    Option("--bytes", BYTES, "A range of bytes."),
    Option("--stream", choice("stdout", "stderr"), "One stream only."),
    RAW,
    *ASKED,
)
POLICY = choice("done_only", "state_changes", "failures_only", "silent")
NOTIFY = Option("--notify", POLICY, "Of what the requester is told, default done_only.")
