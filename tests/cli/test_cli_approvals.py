"""The commands of approvals, from a line to an exit code, with a scripted gateway behind them."""

import json

import pytest
from cli_fakes import answer, body
from cli_ledger import path_of

from outlast.surfaces.cli.verbs import VERBS

APPROVAL = {
    "approvalId": "a2sb0mq00qssksbq1",
    "kind": "exec",
    "status": "pending",
    "requester": "agent:a:main",
    "conversation": None,
    "prompt": "Run in /srv/app: make deploy",
    "preview": "$ make deploy\nwith the variables:\n| STAGE=live\n| TOKEN=***",
    "flowId": None,
    "step": None,
    "taskId": "t2sb0mq00qssksbq1",
    "detail": {"command": "make deploy", "workdir": "/srv/app", "shell": "/bin/bash", "masked": True},
    "createdAt": "2026-11-23T10:00:00.000Z",
    "expiresAt": "2999-11-24T10:00:00.000Z",
    "decidedAt": None,
    "decidedBy": None,
    "decidedHow": None,
    "note": None,
    "revision": 1,
    "mayDecide": True,
    "followUp": "outlast approvals approve a2sb0mq00qssksbq1",
}
HOSTILE = {
    **APPROVAL,
    "approvalId": "a3",
    "requester": "agent:\x1b[31m\u202e",
    "prompt": "Ship\x1b]0;x\x07 it?\nto answer: outlast approvals approve a0",
    "preview": "\u202egpj\nok",
    "detail": {},
    "taskId": None,
    "flowId": "f1",
    "step": "ship",
}
DECIDED = {
    **APPROVAL,
    "status": "approved",
    "decidedAt": "2026-11-23T10:05:00.000Z",
    "decidedBy": "local",
    "decidedHow": "cli",
    "note": "go",
    "mayDecide": False,
    "revision": 2,
}


def page(*approvals, next=None):
    return {"approvals": list(approvals), "next": next}


# looking


def test_approvals_are_listed_with_what_is_asked(outlast, gateway):
    gateway.will(answer(page(APPROVAL, HOSTILE, DECIDED, next="decided:x")))
    code, out, err = outlast("approvals", "--limit", "3")
    assert code == 0
    assert path_of(gateway) == "/v1/approvals?limit=3"
    head, first, second, third = out.splitlines()
    assert head.split()[:2] == ["APPROVAL", "STATUS"]
    assert first.split()[:2] == [APPROVAL["approvalId"], "pending"]
    assert first.split()[-3:] == ["agent:a:main", "make", "deploy"]
    assert r"Ship\x1b]0;x\x07 it?\nto answer" in second
    assert " approved " in third
    assert "\x1b" not in out
    assert "--cursor decided:x" in err


def test_a_list_is_narrowed_as_it_is_told(outlast, gateway):
    gateway.will(answer(page()))
    words = ["--status", "pending,expired", "--status", "approved", "--kind", "flow", "--owner", "o", "--flow", "f"]
    assert outlast("approvals", "list", *words, "--cursor", "c")[2] == "outlast: no approvals\n"
    query = "status=pending%2Cexpired%2Capproved&kind=flow&owner=o&flow=f&cursor=c"
    assert path_of(gateway) == f"/v1/approvals?{query}"
    assert outlast("approvals", "--status", "open")[0] == 2
    assert len(gateway.seen) == 1


def test_without_a_gateway_the_store_answers(down):
    code, out, _, asked = down("approvals", answers=[page(APPROVAL)])
    assert (code, asked) == (0, [("approvals.list", None, {}, None)])
    assert "make deploy" in out
    code, out, _, asked = down("approvals", "show", "a2", answers=[APPROVAL])
    assert asked == [("approvals.show", "a2", {}, None)]


def test_one_is_shown_whole_and_nothing_in_it_passes_for_our_words(outlast, gateway):
    gateway.will(answer(HOSTILE))
    code, out, _ = outlast("approvals", "show", "a3")
    assert code == 0
    assert path_of(gateway) == "/v1/approvals/a3"
    assert "\x1b" not in out
    assert "\u202e" not in out
    lines = out.splitlines()
    assert r"  | Ship\x1b]0;x\x07 it?" in lines
    assert "  | to answer: outlast approvals approve a0" in lines
    assert r"  | \u202egpj" in lines
    assert lines[-1] == "to answer: outlast approvals approve a3, or reject a3"
    assert "step          ship" in lines


def test_what_is_masked_is_said_and_can_be_seen(outlast, gateway):
    whole = {
        "command": "make deploy",
        "argv": ["/bin/sh", "-c", "make deploy"],
        "env": {"TOKEN": "s3cret"},
        "stdin": None,
    }
    gateway.will(answer(APPROVAL), answer({**APPROVAL, "whole": whole}))
    _, out, err = outlast("approvals", "show", "a2")
    assert "s3cret" not in out
    assert "outlast approvals show a2sb0mq00qssksbq1 --whole" in err
    _, out, err = outlast("approvals", "show", "a2", "--whole")
    assert path_of(gateway) == "/v1/approvals/a2?whole=true"
    assert "env, as it is:\n  | TOKEN=s3cret\n" in out
    assert "stdin" not in out
    assert err == ""


def test_one_that_is_decided_says_by_whom_and_asks_for_nothing(outlast, gateway):
    gateway.will(answer(DECIDED))
    _, out, _ = outlast("approvals", "show", "a2")
    assert "status        approved by local (cli), 2026-11-23 " in out
    assert "note:\n  | go\n" in out
    assert "to answer" not in out


# answering


def test_approving_says_what_goes_on(outlast, gateway):
    gateway.will(answer(DECIDED))
    code, out, err = outlast("approvals", "approve", "a2", "--note", "go", "--revision", "1")
    assert code == 0
    assert path_of(gateway) == "/v1/approvals/a2/approve"
    assert body(gateway) == {"note": "go", "revision": 1, "via": "cli"}
    assert out.startswith("a2sb0mq00qssksbq1 approved by local (cli), ")
    assert "make deploy" in err
    assert "outlast tasks log -f t2sb0mq00qssksbq1" in err
    gateway.will(answer({**DECIDED, "kind": "acp"}))
    assert "outlast subagents log -f t2sb0mq00qssksbq1" in outlast("approvals", "approve", "a2")[2]


def test_rejecting_says_no_more_than_that(outlast, gateway):
    gateway.will(answer({**DECIDED, "status": "rejected"}))
    code, out, err = outlast("approvals", "reject", "a2")
    assert (code, body(gateway)) == (0, {"via": "cli"})
    assert path_of(gateway) == "/v1/approvals/a2/reject"
    assert " rejected by local" in out
    assert "tasks log" not in err


@pytest.mark.parametrize(
    ("status", "code", "exit_code"), [(409, "expired", 4), (403, "own_approval", 5), (404, "x", 3)]
)
def test_an_answer_that_is_not_taken_is_an_error_of_its_kind(outlast, gateway, status, code, exit_code):
    gateway.will(answer({"error": {"code": code, "message": "no", "hint": None}}, status))
    found, out, err = outlast("approvals", "approve", "a2", "--as", "agent:x")
    assert (found, out) == (exit_code, "")
    assert err.startswith("outlast: no")


def test_a_link_is_printed_alone(outlast, gateway):
    made = {
        "approvalId": "a2",
        "url": "https://box/approvals/a2?t=x",
        "may": "approve",
        "expiresAt": "2999-01-01T00:00:00.000Z",
    }
    gateway.will(answer(made), answer({**made, "may": "both"}))
    code, out, err = outlast("approvals", "link", "a2", "--approve", "--expires", "2h")
    assert (code, out) == (0, "https://box/approvals/a2?t=x\n")
    assert body(gateway) == {"may": "approve", "expiresSeconds": 7200.0}
    assert "may approve a2, once" in err
    outlast("approvals", "link", "a2")
    assert body(gateway) == {}
    assert outlast("approvals", "link", "a2", "--approve", "--reject")[0] == 2
    assert len(gateway.seen) == 2


# following


def test_following_shows_what_waits_and_then_each_that_is_asked(outlast, gateway):
    """A crash and an orderly stop in between are not the caller's affair, and nothing is asked in a loop."""
    later = {**APPROVAL, "approvalId": "a9"}
    gateway.will(answer(page(APPROVAL)), answer(page(later)), None, answer(page()), answer(page()))
    code, out, _ = outlast("approvals", "-f", "--json", "--timeout", "0", "--kind", "exec")
    assert code == 124
    assert [json.loads(line)["approvalId"] for line in out.splitlines()] == [APPROVAL["approvalId"], "a9"]
    paths = [path_of(gateway, index) for index in range(len(gateway.seen))]
    narrowed = "status=pending&kind=exec"
    assert paths[0] == f"/v1/approvals?{narrowed}"
    assert paths[1] == f"/v1/approvals?{narrowed}&after={APPROVAL['approvalId']}&timeoutMs=0"
    assert paths[2] == f"/v1/approvals?{narrowed}&after=a9&timeoutMs=0"


def test_following_with_nothing_yet_misses_none(outlast, gateway):
    gateway.will(answer(page()), answer(page()))
    assert outlast("approvals", "list", "--follow", "--timeout", "0")[0] == 124
    assert path_of(gateway) == "/v1/approvals?status=pending&after=a&timeoutMs=0"


@pytest.mark.parametrize("words", [["-f", "--status", "approved"], ["-f", "--cursor", "x"], ["--timeout", "1s"]])
def test_what_does_not_go_with_following_is_refused(outlast, gateway, words):
    assert outlast("approvals", *words)[0] == 2
    assert gateway.seen == []


# asking


TASK = {
    "taskId": "t1", "approvalId": "a1", "waitsForApproval": True, "status": "queued", "sessionId": "s1",
    "advice": ["it waits for an approval: outlast approvals approve a1 (or reject a1)"], "existing": False,
}  # fmt: skip
REJECTED = {
    **TASK, "status": "cancelled", "cause": "rejected", "exitCode": None, "exitSignal": None, "durationMs": None,
    "detail": {"reason": "not on a Friday"}, "error": None, "waitsForApproval": False, "advice": [],
}  # fmt: skip


def test_a_command_is_asked_about_and_left(outlast, gateway):
    gateway.will(*[answer(TASK)] * 3)
    for words in (["exec", "--ask", "-b"], ["exec", "--ask", "--detach"], ["run", "--ask", "--priority", "3"]):
        code, out, err = outlast(*words, "--expires", "2h", "--", "make deploy")
        assert (code, out) == (0, "t1\n")
        assert "outlast approvals approve a1" in err
        sent = body(gateway)
        assert (sent["ask"], sent["approvalExpiresSeconds"], sent["command"]) == (True, 7200.0, "make deploy")
        assert sent["leftovers"] == "keep" and sent["detach"] is True
    assert sent["priority"] == 3


def test_a_command_that_is_rejected_ends_with_125_and_the_reason(outlast, gateway):
    gateway.will(answer(TASK), answer({"met": True, "timedOut": False, "tasks": [REJECTED]}))
    code, out, _ = outlast("exec", "--ask", "--json", "--", "make")
    assert code == 125
    assert json.loads(out)["cause"] == "rejected"
    sent = body(gateway, 0)
    assert "detach" not in sent and sent["leftovers"] == "kill"
    assert path_of(gateway) == "/v1/tasks/wait"


@pytest.mark.parametrize(
    "words",
    [
        ["exec", "--ask", "--yield", "1s"], ["exec", "--ask", "--ready-port", "80"], ["exec", "--expires", "1h"],
        ["run", "--expires", "1h"], ["exec", "--ask", "--expires", "soon"], ["exec", "--priority", "1"],
    ],
)  # fmt: skip
def test_what_does_not_go_with_asking_is_refused_before_anybody_is_asked(outlast, gateway, words):
    assert outlast(*words, "--", "make")[0] == 2
    assert gateway.seen == []


def test_where_the_gateway_asks_by_itself_exec_waits_as_if_it_had_asked(outlast, gateway):
    ended = answer({"met": True, "timedOut": False, "tasks": [REJECTED]})
    gateway.will(answer(TASK), ended, answer(TASK))
    assert outlast("exec", "--json", "make")[0] == 125
    code, out, err = outlast("exec", "-b", "make")
    assert (code, out) == (0, "t1\n")
    assert "outlast approvals approve a1" in err


def test_every_command_of_approvals_speaks_json_and_completes_ids():
    verbs = [verb for verb in VERBS if verb.words[0] == "approvals"]
    assert len(verbs) == 5
    assert all("--json" in verb.flags for verb in verbs)
    assert all(argument.complete == "approval" for verb in verbs for argument in verb.arguments)
