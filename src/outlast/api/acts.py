"""The table of everything that can be asked: a word, the request that goes with it, and who answers.

Every surface goes through `perform`, so that the same word means the same and is refused the same everywhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from outlast.api import agent_requests as a
from outlast.api import (
    agents,
    approvals,
    commands,
    cron,
    cron_queries,
    exec,
    explain,
    flow_commands,
    flow_files,
    flow_managed,
    flow_starts,
    flows,
    heartbeat,
    queries,
    screens,
    status,
    task_commands,
    tasks,
    waits,
)
from outlast.api import approval_requests as q
from outlast.api import conversations as talk
from outlast.api import flow_requests as f
from outlast.api import heartbeat_requests as b
from outlast.api import requests as r
from outlast.api import task_requests as t
from outlast.api import told_requests as w
from outlast.api.context import Api, Caller
from outlast.api.flow_lookup import find_flow
from outlast.api.task_lookup import find_task
from outlast.core.errors import BadInput


class Act(NamedTuple):
    """What can be asked. ``run(api, caller, request)`` answers.

    For acts of a session, a task, a flow or a name it takes that third. ``offline`` acts can be answered without a
    gateway.
    """

    request: type[r.Request]
    run: Callable[..., Any]
    of_session: bool = True
    may_wait: bool = False
    of: Literal["", "task", "flow", "name"] = ""
    offline: bool = False


ACTS: dict[str, Act] = {
    "exec": Act(r.ExecRequest, exec.exec_command, of_session=False, may_wait=True),
    "status": Act(r.PlainRequest, status.status, of_session=False, offline=True),
    "list": Act(r.ListRequest, queries.list_sessions, of_session=False),
    "show": Act(r.PlainRequest, queries.show_session),
    "poll": Act(r.PollRequest, waits.poll, may_wait=True),
    "log": Act(r.LogRequest, queries.log),
    "output": Act(r.OutputRequest, queries.output_range),
    "wait": Act(r.WaitRequest, waits.wait, of_session=False, may_wait=True),
    "write": Act(r.WriteRequest, commands.write, may_wait=True),
    "send-keys": Act(r.SendKeysRequest, commands.send_keys, may_wait=True),
    "submit": Act(r.SubmitRequest, commands.submit, may_wait=True),
    "paste": Act(r.PasteRequest, commands.paste, may_wait=True),
    "screen": Act(r.ScreenRequest, screens.screen),
    "resize": Act(r.ResizeRequest, commands.resize),
    "signal": Act(r.SignalRequest, commands.signal),
    "kill": Act(r.KillRequest, commands.kill, may_wait=True),
    "remove": Act(r.PlainRequest, commands.remove),
    "clear": Act(r.PlainRequest, commands.clear, of_session=False),
    "stop": Act(r.StopRequest, commands.stop, of_session=False, may_wait=True),
    "tasks.list": Act(t.TasksRequest, tasks.list_tasks, of_session=False, offline=True),
    "tasks.show": Act(r.PlainRequest, tasks.show, of_session=False, of="task", offline=True),
    "tasks.events": Act(t.EventsRequest, tasks.events, of_session=False, of="task", offline=True),
    "tasks.children": Act(r.PlainRequest, tasks.children, of_session=False, of="task", offline=True),
    "tasks.log": Act(r.LogRequest, tasks.log, of_session=False, of="task", offline=True),
    "tasks.wait": Act(t.TaskWaitRequest, tasks.wait, of_session=False, may_wait=True),
    "tasks.cancel": Act(t.CancelRequest, task_commands.cancel, of_session=False, may_wait=True, of="task"),
    "tasks.retry": Act(t.RetryRequest, task_commands.retry, of_session=False, of="task"),
    "tasks.dismiss": Act(r.PlainRequest, task_commands.dismiss, of_session=False, of="task"),
    "tasks.notify": Act(t.NotifyRequest, task_commands.notify, of_session=False, of="task"),
    "tasks.report-start": Act(t.ReportStartRequest, task_commands.report_start, of_session=False),
    "tasks.report": Act(t.ReportRequest, task_commands.report, of_session=False, of="task"),
    "tasks.audit": Act(t.AuditRequest, tasks.audit_tasks, of_session=False, offline=True),
    "tasks.maintenance": Act(t.MaintenanceRequest, task_commands.maintain, of_session=False, offline=True),
    "tasks.stats": Act(r.PlainRequest, tasks.stats, of_session=False, offline=True),
    "tasks.queues": Act(r.PlainRequest, tasks.queues, of_session=False, offline=True),
    "tasks.set-queue": Act(t.QueueRequest, task_commands.set_queue, of_session=False),
    "flow.list": Act(f.FlowsRequest, flows.list_flows, of_session=False, offline=True),
    "flow.show": Act(f.FlowShowRequest, flows.show, of_session=False, of="flow", offline=True),
    "flow.steps": Act(f.FlowStepsRequest, flows.steps, of_session=False, of="flow", offline=True),
    "flow.children": Act(r.PlainRequest, flows.children, of_session=False, of="flow", offline=True),
    "flow.graph": Act(f.FlowGraphRequest, flows.graph, of_session=False, of="flow", offline=True),
    "flow.events": Act(f.FlowEventsRequest, flows.events, of_session=False, may_wait=True, of="flow", offline=True),
    "flow.wait": Act(f.FlowWaitRequest, flows.wait, of_session=False, may_wait=True),
    "flow.watch": Act(f.FlowWatchRequest, flows.watch, of_session=False, may_wait=True, of="flow"),
    "flow.check": Act(f.FlowCheckRequest, flow_files.check, of_session=False, offline=True),
    "flow.start": Act(f.FlowStartRequest, flow_starts.start, of_session=False),
    "flow.signal": Act(f.FlowSignalRequest, flow_commands.signal, of_session=False, of="flow"),
    "flow.cancel": Act(f.FlowCancelRequest, flow_commands.cancel, of_session=False, may_wait=True, of="flow"),
    "flow.retry": Act(f.FlowRetryRequest, flow_commands.retry, of_session=False, of="flow"),
    "flow.resume": Act(f.FlowResumeRequest, flow_commands.resume, of_session=False, of="flow"),
    "flow.fork": Act(f.FlowForkRequest, flow_commands.fork, of_session=False, of="flow"),
    "flow.create": Act(f.FlowCreateRequest, flow_managed.create, of_session=False),
    "flow.link": Act(f.FlowLinkRequest, flow_managed.link, of_session=False, of="flow"),
    "flow.set-waiting": Act(f.FlowSetWaitingRequest, flow_managed.set_waiting, of_session=False, of="flow"),
    "flow.finish": Act(f.FlowFinishRequest, flow_managed.finish, of_session=False, of="flow"),
    "flow.fail": Act(f.FlowFailRequest, flow_managed.fail, of_session=False, of="flow"),
    "flow.request-cancel": Act(f.FlowCancelWishRequest, flow_managed.request_cancel, of_session=False, of="flow"),
    "cron.add": Act(w.CronAddRequest, cron.add, of_session=False),
    "cron.list": Act(w.CronListRequest, cron_queries.list_schedules, of_session=False, offline=True),
    "cron.show": Act(r.PlainRequest, cron_queries.show, of_session=False, of="name", offline=True),
    "cron.next": Act(w.CronNextRequest, cron_queries.next_firings, of_session=False, of="name", offline=True),
    "cron.edit": Act(w.CronEditRequest, cron.edit, of_session=False, of="name"),
    "cron.pause": Act(r.PlainRequest, cron.pause, of_session=False, of="name"),
    "cron.resume": Act(r.PlainRequest, cron.resume, of_session=False, of="name"),
    "cron.run": Act(r.PlainRequest, cron.run_now, of_session=False, of="name"),
    "cron.runs": Act(w.CronRunsRequest, cron_queries.runs, of_session=False, of="name", offline=True),
    "cron.remove": Act(r.PlainRequest, cron.remove, of_session=False, of="name"),
    "cron.import": Act(w.CronImportRequest, cron_queries.import_crontab, of_session=False),
    "cron.export": Act(r.PlainRequest, cron_queries.export_crontab, of_session=False, offline=True),
    "conversations.list": Act(w.ConversationsRequest, talk.list_conversations, of_session=False, offline=True),
    "conversations.show": Act(r.PlainRequest, talk.show, of_session=False, of="name", offline=True),
    "conversations.events": Act(
        w.ConversationEventsRequest, talk.events, of_session=False, may_wait=True, of="name", offline=True
    ),
    "conversations.ack": Act(w.AckRequest, talk.ack, of_session=False, of="name"),
    "wake.add": Act(w.WakeAddRequest, talk.add_wake, of_session=False),
    "wake.list": Act(w.WakesRequest, talk.list_wakes, of_session=False, offline=True),
    "wake.test": Act(r.PlainRequest, talk.test_wake, of_session=False, may_wait=True, of="name"),
    "wake.remove": Act(r.PlainRequest, talk.remove_wake, of_session=False, of="name"),
    "notifications.list": Act(w.NoticesRequest, talk.list_notices, of_session=False, offline=True),
    "notifications.retry": Act(r.PlainRequest, talk.retry_notice, of_session=False, of="name"),
    "notifications.dismiss": Act(r.PlainRequest, talk.dismiss_notice, of_session=False, of="name"),
    "system.event": Act(w.SystemEventRequest, talk.tell, of_session=False),
    "heartbeat.status": Act(b.BeatRequest, heartbeat.status, of_session=False, offline=True),
    "heartbeat.history": Act(b.BeatHistoryRequest, heartbeat.history, of_session=False, offline=True),
    "heartbeat.run": Act(b.BeatRunRequest, heartbeat.run, of_session=False, may_wait=True),
    "heartbeat.pause": Act(b.BeatRequest, heartbeat.pause, of_session=False),
    "heartbeat.resume": Act(b.BeatRequest, heartbeat.resume, of_session=False),
    "approvals.list": Act(q.ApprovalsRequest, approvals.list_approvals, of_session=False, may_wait=True, offline=True),
    "approvals.show": Act(q.ApprovalShowRequest, approvals.show, of_session=False, of="name", offline=True),
    "approvals.approve": Act(q.DecideRequest, approvals.approve, of_session=False, of="name"),
    "approvals.reject": Act(q.DecideRequest, approvals.reject, of_session=False, of="name"),
    "approvals.link": Act(q.LinkRequest, approvals.make_link, of_session=False, of="name"),
    "agents.list": Act(r.PlainRequest, agents.list_agents, of_session=False),
    "agents.show": Act(r.PlainRequest, agents.show_agent, of_session=False, of="name"),
    "agents.check": Act(r.PlainRequest, agents.check, of_session=False, may_wait=True, of="name"),
    "agents.run": Act(a.AgentRunRequest, agents.run, of_session=False),
    "subagents.spawn": Act(a.SpawnRequest, agents.spawn, of_session=False),
    "subagents.list": Act(a.SubagentsRequest, agents.list_subagents, of_session=False),
    "subagents.show": Act(r.PlainRequest, agents.show, of_session=False, of="name"),
    "subagents.steer": Act(a.SteerRequest, agents.steer, of_session=False, of="name"),
    "subagents.wait": Act(t.TaskWaitRequest, tasks.wait, of_session=False, may_wait=True),
    "subagents.cancel": Act(t.CancelRequest, task_commands.cancel, of_session=False, may_wait=True, of="task"),
    "conversations.transcript": Act(
        a.TranscriptRequest, agents.transcript, of_session=False, may_wait=True, of="name", offline=True
    ),
    "explain": Act(r.PlainRequest, explain.explain, of_session=False, of="name", offline=True),
    "backup": Act(t.BackupRequest, task_commands.backup, of_session=False, may_wait=True, offline=True),
    "store": Act(r.PlainRequest, tasks.check_store, of_session=False, may_wait=True, offline=True),
}


async def perform(api: Api, caller: Caller, act: Act, name: str | None, request: r.Request) -> object:
    """Answer one request about the session or task ``name`` (None: about none). Raises the errors of the act."""
    caller = caller.acting_for(request.requester)
    if act.of or act.request.__module__ in (t.__name__, f.__name__):
        t.check_text(name, request)
    if act.of:
        named = name or ""
        subject: object = named
        if act.of == "task":
            subject = await find_task(api, caller, named)
        elif act.of == "flow":
            subject = await find_flow(api, caller, named)
        answer = act.run(api, caller, subject, request)
    elif not act.of_session:
        answer = act.run(api, caller, request)
    elif name is None:
        raise BadInput("sessionId: is required")
    else:
        answer = act.run(api, caller, await api.find(caller, name), request)
    return await answer if inspect.isawaitable(answer) else answer
