"""The commands of telling, from a line to an exit code, with a scripted gateway behind them."""

import io
import json

import pytest
from cli_fakes import answer, body
from cli_ledger import path_of
from cli_told import EVENT, NOTICE, WAKE, events

KEY = "agent:a:main"
ACKED = answer({"conversation": KEY, "acked": 1, "waiting": 2})
CONVERSATION = {
    "conversation": KEY,
    "waiting": 1,
    "oldestAt": "2026-11-23T10:00:00.000Z",
    "newestAt": None,
    "wakes": 1,
}

# conversations


def test_conversations_are_listed(outlast, gateway):
    hostile = {**CONVERSATION, "conversation": "\x1b]0;x\x07" + "k" * 300}
    gateway.will(answer({"conversations": [CONVERSATION, hostile], "next": KEY}))
    code, out, err = outlast("conversations", "--limit", "2", "--after", "a")
    assert code == 0
    assert path_of(gateway) == "/v1/conversations?limit=2&after=a"
    assert out.splitlines()[1].split()[:2] == [KEY, "1"]
    assert "\x1b" not in out
    assert f"--after {KEY}" in err
    gateway.will(answer({"conversations": [], "next": None}))
    assert outlast("conversations")[2] == "outlast: no conversations\n"


def test_a_conversation_is_shown_with_its_wakes(outlast, gateway):
    gateway.will(answer(CONVERSATION), answer({"wakes": [WAKE]}), answer({**CONVERSATION, "wakes": 0}))
    code, out, _ = outlast("conversations", "show", KEY)
    assert code == 0
    assert path_of(gateway, 0) == "/v1/conversations/agent%3Aa%3Amain"
    assert path_of(gateway) == "/v1/wakes?conversation=agent%3Aa%3Amain"
    assert "waiting       1 event\n" in out
    assert 'command:["claude","{text}"]' in out
    assert "outlast wake add" in outlast("conversations", "show", KEY)[2]


def test_events_are_read_to_their_end(outlast, gateway):
    more = {**EVENT, "eventId": 9, "ackedAt": "2026-11-23T11:00:00.000Z", "text": "\n".join("x" * 50)}
    pages = [answer(events(EVENT, next=7)), answer(events(more))]
    gateway.will(*pages, *pages, answer(events()), answer(events(EVENT, next=7)))
    code, out, _ = outlast("conversations", "events", KEY, "--all")
    assert code == 0
    assert path_of(gateway) == "/v1/conversations/agent%3Aa%3Amain/events?after=7&limit=100&all=true"
    head, first, second, *_ = out.splitlines()
    assert head.startswith("7  2026-11-23 ")
    assert head.endswith("  ended")
    assert (first, second) == ('  "nightly" failed.', "  | \\x1b[31mred")
    assert "9  2026-11-23" in out
    assert "consumed" in out
    assert "  … and 10 more lines\n" in out
    assert json.loads(outlast("conversations", "events", KEY, "--json")[1]) == events(EVENT, more)
    assert outlast("conversations", "events", KEY)[2] == "outlast: nothing waits\n"
    assert "--after 7" in outlast("conversations", "events", KEY, "--limit", "1", "--after", "3")[2]
    assert path_of(gateway) == "/v1/conversations/agent%3Aa%3Amain/events?after=3&limit=1"


def test_what_was_shown_is_consumed_when_that_is_asked_for(outlast, gateway):
    gateway.will(answer(events(EVENT)), ACKED, answer(events()))
    outlast("conversations", "events", KEY, "--ack")
    assert (path_of(gateway), body(gateway)) == ("/v1/conversations/agent%3Aa%3Amain/ack", {"upto": 7})
    outlast("conversations", "events", KEY, "--ack")
    assert len(gateway.seen) == 3


def test_ack_says_what_is_left(outlast, gateway):
    gateway.will(ACKED, ACKED)
    assert outlast("conversations", "ack", KEY, "--upto", "7")[:2] == (0, "1 consumed, 2 waiting\n")
    assert body(gateway) == {"upto": 7}
    outlast("conversations", "ack", KEY)
    assert body(gateway) == {}


def waits(gateway):
    return [path_of(gateway, index).partition("?")[2] for index in range(len(gateway.seen))]


def test_following_waits_in_the_gateway_and_goes_on_behind_what_was_shown(outlast, gateway):
    """A crash and an orderly stop in between are not the caller's affair, and nothing is asked in a loop."""
    later = {**EVENT, "eventId": 9}
    gateway.will(answer(events(EVENT)), None, answer(events()), answer(events(later)))
    code, out, _ = outlast("conversations", "events", KEY, "-f", "--json", "--limit", "2")
    assert code == 0
    assert [json.loads(line)["eventId"] for line in out.splitlines()] == [7, 9]
    assert waits(gateway) == ["limit=2&timeoutMs=600000", *["after=7&limit=1&timeoutMs=600000"] * 3]


def test_following_consumes_what_it_has_shown(outlast, gateway):
    gateway.will(answer(events(EVENT)), ACKED, answer(events({**EVENT, "eventId": 9})), ACKED)
    assert outlast("conversations", "events", KEY, "-f", "--ack", "--limit", "2", "--after", "3")[0] == 0
    assert [body(gateway, index) for index in (1, 3)] == [{"upto": 7}, {"upto": 9}]
    assert waits(gateway)[0] == "after=3&limit=2&timeoutMs=600000"


def test_following_leaves_when_nothing_came_in_time(outlast, gateway):
    gateway.will(answer(events()))
    assert outlast("conversations", "events", KEY, "-f", "--timeout", "0")[:2] == (124, "")
    assert waits(gateway) == ["limit=100&timeoutMs=0"]


def test_following_ends_with_a_gateway_that_was_stopped(outlast, gateway, home, monkeypatch):
    """Who stops a gateway does not want a listener on another screen to start it again."""
    monkeypatch.setattr("outlast.surfaces.cli.waiting.TRY_AGAIN_AFTER", (0.0, 0.0, 0.0))

    def leaves(conn):
        gateway.close()  # first: whoever has his answer comes back at once
        conn.sendall(answer(events()))
        return False

    gateway.will(leaves)
    code, _, err = outlast("conversations", "events", KEY, "-f")
    assert code == 6
    assert "the gateway was stopped" in err


def test_a_wait_for_no_more_events_needs_following(outlast, gateway):
    assert outlast("conversations", "events", KEY, "--timeout", "1s")[0] == 2
    assert gateway.seen == []


# wakes


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["--command", "claude {text}"], {"command": "claude {text}"}),
        (["--", "tell", "--to", "{conversation}"], {"argv": ["tell", "--to", "{conversation}"]}),
        (["--", "tell --file"], {"command": "tell --file"}),
        (["--webhook", "https://x/y", "--secret", "whsec_x"], {"webhook": "https://x/y", "secret": "whsec_x"}),
        (["--desktop"], {"desktop": True}),
        (["--smtp", "me@example.org"], {"smtp": "me@example.org"}),
        (["--apprise", "ntfy://x"], {"apprise": "ntfy://x"}),
    ],
)
def test_a_wake_is_added_by_exactly_one_way(outlast, gateway, words, sent):
    gateway.will(answer(WAKE))
    code, out, err = outlast("wake", "add", KEY, *words)
    assert (code, out) == (0, "w1\n")
    assert body(gateway) == {"conversation": KEY, **sent}
    assert "outlast wake test w1" in err


def test_a_secret_is_shown_once_and_may_come_from_standard_input(outlast, gateway, monkeypatch):
    gateway.will(answer({**WAKE, "secret": "whsec_made"}), answer(WAKE))
    assert "shown this once: whsec_made" in outlast("wake", "add", KEY, "--webhook", "https://x")[2]
    monkeypatch.setattr("sys.stdin", io.StringIO("whsec_given\n"))
    _, out, err = outlast("wake", "add", KEY, "--webhook", "https://x", "--secret", "-")
    assert body(gateway)["secret"] == "whsec_given"
    assert "whsec_given" not in out + err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"wake add {KEY}", "how?"),
        (f"wake add {KEY} --desktop --smtp a@b", "--desktop and --smtp exclude"),
        (f"wake add {KEY} --command x -- y", "a COMMAND after -- and --command exclude"),
        ("notifications --failed --state pending", "exclude each other"),
        ("system event hello", "which conversation?"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anybody_is_asked(outlast, gateway, line, words):
    code, out, err = outlast(*line.split())
    assert (code, out) == (2, "")
    assert words in err
    assert gateway.seen == []


def test_wakes_are_listed_with_what_went_wrong(outlast, gateway):
    parked = {**WAKE, "wakeId": "w2", "status": "parked", "error": "answered 410\x1b"}
    failing = {**WAKE, "wakeId": "w3", "status": "failing", "error": "timed out", "dueAt": "2999-01-01T00:00:00.000Z"}
    gateway.will(answer({"wakes": [WAKE, parked, failing]}), answer({"wakes": []}))
    code, out, err = outlast("wake")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["w1", "ready"], ["w2", "parked"], ["w3", "failing"]]
    assert "w2: answered 410\\x1b\n" in err
    assert "w3: timed out; again in " in err
    assert outlast("wake", "list", KEY)[2] == "outlast: no wakes\n"
    assert path_of(gateway) == "/v1/wakes?conversation=agent%3Aa%3Amain"


def test_a_wake_is_tested_and_removed(outlast, gateway):
    tested = {"wakeId": "w1", "delivered": True, "error": None, "tookMs": 120}
    gateway.will(answer(tested), answer({**tested, "delivered": False, "error": "no\x1b"}), answer({"removed": ["w1"]}))
    assert outlast("wake", "test", "w1")[:2] == (0, "w1 delivered in 120 ms\n")
    assert outlast("wake", "test", "w1")[:2] == (1, "w1 not delivered: no\\x1b (120 ms)\n")
    assert outlast("wake", "rm", "w1")[:2] == (0, "w1 removed\n")
    assert gateway.seen[-1].startswith(b"DELETE /v1/wakes/w1 ")


# notices and events by hand


def test_notices_are_listed_with_why_they_failed(outlast, gateway):
    coming = {**NOTICE, "noticeId": 6, "state": "pending", "nextAt": "2999-01-01T00:00:00.000Z"}
    gateway.will(answer({"notices": [coming, NOTICE], "next": 5}), answer({"notices": [], "next": None}))
    code, out, err = outlast("notifications", "--failed", "--target", "k", "--limit", "2", "--before", "9")
    assert code == 0
    assert path_of(gateway) == "/v1/notifications?state=parked&target=k&limit=2&before=9"
    assert out.splitlines()[2].split()[:2] == ["5", "parked"]
    assert "5: answered 500\\x1b\n" in err
    assert "6: answered 500\\x1b; again in " in err
    assert "--before 5" in err
    assert outlast("notifications", "list", "--state", "pending")[2] == "outlast: no notifications\n"


@pytest.mark.parametrize(("act", "state"), [("retry", "pending"), ("dismiss", "dismissed")])
def test_a_notice_is_sent_again_or_given_up(outlast, gateway, act, state):
    gateway.will(answer({**NOTICE, "state": state}))
    assert outlast("notifications", act, "5")[:2] == (0, f"5 {state}\n")
    assert path_of(gateway) == f"/v1/notifications/5/{act}"


def test_an_event_is_queued_by_hand(outlast, gateway, monkeypatch):
    gateway.will(*[answer({"conversation": KEY, "queued": queued}) for queued in (True, False)])
    line = ("system", "event", "text", "--to", KEY, "--mode", "next-heartbeat", "--key", "k")
    assert outlast(*line)[:2] == (0, f"queued for {KEY}\n")
    assert body(gateway) == {"text": "text", "to": KEY, "mode": "next-heartbeat", "key": "k"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from\xff\n")))
    assert "under this key already" in outlast("system", "event", "-", "--to", KEY)[2]
    assert body(gateway)["text"] == "from\ufffd\n"
