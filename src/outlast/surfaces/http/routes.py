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
    Row("GET", "/v1/events", "events", "Tasks and sessions as they move, as server-sent events; resumable."),
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
    Row("GET", "/v1/tasks", "tasks.list", "Tasks, newest first, by pages."),
    Row("POST", "/v1/tasks/wait", "tasks.wait", "Wait for the end of tasks."),
    Row("POST", "/v1/tasks/report", "tasks.report-start", "Put work on record that runs elsewhere."),
    Row("GET", "/v1/tasks/audit", "tasks.audit", "What is wrong, or may be."),
    Row("POST", "/v1/tasks/maintenance", "tasks.maintenance", "Mend and forget; a dry run unless applied."),
    Row("GET", "/v1/tasks/stats", "tasks.stats", "How many tasks there are of each kind."),
    Row("GET", "/v1/tasks/queues", "tasks.queues", "The queues and their limits."),
    Row("POST", "/v1/tasks/queues", "tasks.set-queue", "Limit a queue."),
    Row("GET", "/v1/tasks/{id}", "tasks.show", "How one task stands."),
    Row("GET", "/v1/tasks/{id}/events", "tasks.events", "The history of a task."),
    Row("GET", "/v1/tasks/{id}/children", "tasks.children", "What a task has started."),
    Row("GET", "/v1/tasks/{id}/log", "tasks.log", "The output of a task's session."),
    Row("POST", "/v1/tasks/{id}/cancel", "tasks.cancel", "Call a task off."),
    Row("POST", "/v1/tasks/{id}/retry", "tasks.retry", "Do the work of an ended task again."),
    Row("POST", "/v1/tasks/{id}/dismiss", "tasks.dismiss", "Put an ended task out of sight."),
    Row("POST", "/v1/tasks/{id}/notify", "tasks.notify", "Change of what its requester is told."),
    Row("POST", "/v1/tasks/{id}/report", "tasks.report", "Report progress, or the end of outside work."),
    Row("POST", "/v1/cron", "cron.add", "Add a rule of work to come."),
    Row("GET", "/v1/cron", "cron.list", "Rules, by name."),
    Row("POST", "/v1/cron/import", "cron.import", "Read a crontab; a dry run unless applied."),
    Row("GET", "/v1/cron/export", "cron.export", "Rules as a crontab."),
    Row("GET", "/v1/cron/{id}", "cron.show", "How one rule stands."),
    Row("DELETE", "/v1/cron/{id}", "cron.remove", "Forget a rule."),
    Row("GET", "/v1/cron/{id}/next", "cron.next", "The next firings of a rule."),
    Row("GET", "/v1/cron/{id}/runs", "cron.runs", "What became of a rule's instants."),
    Row("POST", "/v1/cron/{id}/edit", "cron.edit", "Change a rule, by revision."),
    Row("POST", "/v1/cron/{id}/pause", "cron.pause", "Let a rule rest."),
    Row("POST", "/v1/cron/{id}/resume", "cron.resume", "Let a rule fire again."),
    Row("POST", "/v1/cron/{id}/run", "cron.run", "Do the work of a rule now."),
    Row("GET", "/v1/conversations", "conversations.list", "Conversations that have something to hear."),
    Row("GET", "/v1/conversations/{id}", "conversations.show", "What waits for a conversation."),
    Row(
        "GET", "/v1/conversations/{id}/events", "conversations.events", "What a conversation has yet to hear; may wait."
    ),
    Row("POST", "/v1/conversations/{id}/ack", "conversations.ack", "Note that it was consumed."),
    Row("POST", "/v1/wakes", "wake.add", "Register how a conversation is woken."),
    Row("GET", "/v1/wakes", "wake.list", "How conversations are woken."),
    Row("POST", "/v1/wakes/{id}/test", "wake.test", "Send a real wake."),
    Row("DELETE", "/v1/wakes/{id}", "wake.remove", "Forget a wake."),
    Row("GET", "/v1/notifications", "notifications.list", "Notices, newest first."),
    Row("POST", "/v1/notifications/{id}/retry", "notifications.retry", "Send a notice again."),
    Row("POST", "/v1/notifications/{id}/dismiss", "notifications.dismiss", "Give a notice up."),
    Row("POST", "/v1/system/event", "system.event", "Tell a conversation something."),
    Row("GET", "/v1/approvals", "approvals.list", "Approvals, those that wait first; may wait for one to be asked."),
    Row("GET", "/v1/approvals/{id}", "approvals.show", "How one approval stands."),
    Row("POST", "/v1/approvals/{id}/approve", "approvals.approve", "Say yes."),
    Row("POST", "/v1/approvals/{id}/reject", "approvals.reject", "Say no."),
    Row(
        "POST", "/v1/approvals/{id}/link", "approvals.link", "Make a link by which somebody without the token answers."
    ),
    Row("GET", "/approvals/{id}", "approval-page", "The page of a link: it shows the question and decides nothing."),
    Row("POST", "/approvals/{id}", "approval-answer", "The answer given on that page."),
    Row("GET", "/v1/explain/{id}", "explain", "On which rung of the ladder work stands."),
    Row("POST", "/v1/backup", "backup", "Copy the live store to a file."),
    Row("GET", "/v1/store", "store", "Check the whole store."),
    Row("POST", "/v1/tool", "tool", "A tool call."),
    Row("POST", "/v1/gateway/stop", "stop", "Stop the gateway; sessions go on."),
    Row("GET", "/v1/openapi.json", "openapi", "This description."),
)
