"""Approvals: who sees and decides them, one clear answer to each answer, pages, news, links, notices."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from api_fakes import asynchronous
from approval_world import ALICE, BOB, DAY, LEAD, approval_world, settings

from outlast.api import links
from outlast.api.context import Caller
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.approval_link import Grant, read_token
from outlast.core.errors import BadInput, Conflict, NotFound, Refused
from outlast.store.sqlite import SqliteStore


async def code_of(work: Any, kind: type[Exception] = Conflict) -> str:
    with pytest.raises(kind) as caught:
        await work
    return str(caught.value.code)  # type: ignore[attr-defined]


# who may


@asynchronous
async def test_whoever_asks_sees_it_and_does_not_decide_it(tmp_path: Path) -> None:
    """An agent must not approve its own command."""
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        shown = await world.ask("approvals.show", answer.approval_id, caller=ALICE)
        assert (shown.may_decide, shown.follow_up) == (False, None)
        for act in ("approve", "reject", "link"):
            assert (
                await code_of(world.ask(f"approvals.{act}", answer.approval_id, caller=ALICE), Refused)
                == "own_approval"
            )
        narrowed = world.ask("approvals.approve", answer.approval_id, requester=ALICE.requester)
        assert await code_of(narrowed, Refused) == "own_approval"
        assert (await world.ask("approvals.show", answer.approval_id)).may_decide is True
        await world.settle()
        assert world.ran() == []


@asynchronous
async def test_an_agent_does_not_give_itself_the_leave_it_asks_for(tmp_path: Path) -> None:
    """Though somebody else asked for its turn, and it is one of those who decide for others."""
    async with approval_world(tmp_path, settings={"OUTLAST_APPROVALS_DECIDERS": "agent:*"}) as world:
        question = Approval(
            "a1", ApprovalKind.ACP, ALICE.requester, ApprovalStatus.PENDING, "Run rm?", 1.0,
            detail={"conversation": BOB.requester},
        )  # fmt: skip
        await world.store.ask_approval(question)
        assert (await world.ask("approvals.show", "a1", caller=BOB)).may_decide is False
        assert await code_of(world.approve("a1", caller=BOB), Refused) == "own_approval"
        assert (await world.approve("a1", caller=LEAD)).status == "approved"


@asynchronous
async def test_a_strangers_approval_does_not_exist(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        for act in ("show", "approve", "reject", "link"):
            assert await code_of(world.ask(f"approvals.{act}", answer.approval_id, caller=BOB), NotFound) == "not_found"
        assert (await world.ask("approvals.list", caller=BOB)).approvals == []
        assert (await world.ask("approvals.list", caller=BOB, owner=ALICE.requester)).approvals == []
        [own] = (await world.ask("approvals.list", caller=ALICE)).approvals
        assert own.approval_id == answer.approval_id
        assert (await world.ask("approvals.list", owner=ALICE.requester)).approvals
        assert (await world.ask("approvals.list", owner="somebody")).approvals == []


@asynchronous
async def test_deciders_of_the_configuration_decide_for_others_and_not_for_themselves(tmp_path: Path) -> None:
    async with approval_world(tmp_path, settings={"OUTLAST_APPROVALS_DECIDERS": "agent:lead:*"}) as world:
        theirs, own = await world.ask_to_run(caller=ALICE), await world.ask_to_run("make own", caller=LEAD)
        assert len((await world.ask("approvals.list", caller=LEAD)).approvals) == 2
        assert await code_of(world.approve(own.approval_id, caller=LEAD), Refused) == "own_approval"
        decided = await world.approve(theirs.approval_id, caller=LEAD, via="tool")
        assert (decided.decided_by, decided.decided_how) == (LEAD.requester, "tool")
        assert world.ran() == ["make deploy"]


@asynchronous
async def test_the_configuration_may_let_everybody_decide_his_own(tmp_path: Path) -> None:
    async with approval_world(tmp_path, settings={"OUTLAST_APPROVALS_OWN": "true"}) as world:
        answer = await world.ask_to_run()
        assert await code_of(world.approve(answer.approval_id, caller=BOB), NotFound) == "not_found"
        assert (await world.approve(answer.approval_id, caller=ALICE)).decided_by == ALICE.requester


@asynchronous
async def test_a_caller_from_elsewhere_is_no_operator(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        remote = Caller("remote", operator=False, remote=True)
        assert await code_of(world.approve(answer.approval_id, caller=remote), NotFound) == "not_found"


# one clear answer


@asynchronous
async def test_the_second_answer_learns_who_was_first(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        await world.approve(answer.approval_id, via="cli")
        for act in ("approve", "reject"):
            with pytest.raises(Conflict) as late:
                await world.ask(f"approvals.{act}", answer.approval_id)
            assert late.value.code == "conflict"
            assert "was approved by local (cli) at 2027-01-15T08:00" in late.value.message
        assert world.ran() == ["make deploy"]


@asynchronous
async def test_an_answer_after_its_time_is_told_so_whether_or_not_it_was_closed_by_then(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run(approvalExpiresSeconds=60)
        world.clock.at += 60  # nobody has looked yet
        assert await code_of(world.approve(answer.approval_id)) == "expired"
        assert (await world.approval(answer.approval_id)).status is ApprovalStatus.EXPIRED
        assert await code_of(world.reject(answer.approval_id)) == "expired"
        assert world.ran() == []


@asynchronous
async def test_an_answer_to_another_revision_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        with pytest.raises(Conflict) as stale:
            await world.approve(answer.approval_id, revision=2)
        assert stale.value.code == "conflict" and "is at revision 1 by now, not 2" in stale.value.message
        assert world.ran() == []
        assert (await world.approve(answer.approval_id, revision=1)).revision == 2


@asynchronous
async def test_two_who_decide_at_the_same_moment_are_one_decision(tmp_path: Path) -> None:
    async with approval_world(tmp_path, slots=64) as world:
        for turn in range(10):
            answer = await world.ask_to_run(f"make {turn}")
            acts = [world.ask(f"approvals.{act}", answer.approval_id) for act in ("approve", "reject", "approve")]
            results = await asyncio.gather(*acts, return_exceptions=True)
            await world.settle()
            assert sum(isinstance(result, Conflict) and result.code == "conflict" for result in results) == 2
            status = (await world.approval(answer.approval_id)).status
            assert (f"make {turn}" in world.ran()) == (status is ApprovalStatus.APPROVED)


@asynchronous
async def test_two_stores_that_decide_at_the_same_moment_are_one_decision(tmp_path: Path) -> None:
    """As two gateways, or a gateway and a tool, on the same file."""
    async with approval_world(tmp_path) as world:
        other = SqliteStore(str(world.file))
        await other.open()
        try:
            for turn in range(20):
                answer = await world.ask_to_run(f"make {turn}")
                told = {"approval_id": answer.approval_id, "at": world.clock.now(), "by": "x", "how": "cli"}
                results = await asyncio.gather(
                    world.store.decide(Verdict(status=ApprovalStatus.APPROVED, **told)),
                    other.decide(Verdict(status=ApprovalStatus.REJECTED, **told)),
                )
                assert sum(result is not None for result in results) == 1
        finally:
            await other.close()


@asynchronous
async def test_a_lookup_that_is_no_name_is_told_apart_from_one_that_means_several(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        await world.ask_to_run("make b")
        assert (await world.ask("approvals.show", answer.approval_id[:-1])).approval_id == answer.approval_id
        assert await code_of(world.ask("approvals.show", "a"), BadInput) == "ambiguous"
        for name in ("a0", "%", "_" * 17, "x" * 10_000):
            assert await code_of(world.ask("approvals.show", name), NotFound) == "not_found"
        for name in ("\0", "\ud800"):
            assert await code_of(world.ask("approvals.show", name), BadInput) == "not_text"
            assert await code_of(world.ask("approvals.list", owner=name), BadInput) == "not_text"
        assert await code_of(world.ask("approvals.show", " "), BadInput) == "bad_input"


@asynchronous
async def test_a_note_is_kept_and_told_and_bounded(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        await code_of(world.approve(answer.approval_id, note="x" * 2_001), BadInput)
        assert await code_of(world.reject(answer.approval_id, note="\0"), BadInput) == "not_text"
        await world.reject(answer.approval_id, note="nö \x1b[31m")
        assert (await world.ask("approvals.show", answer.approval_id)).note == "nö \x1b[31m"


# lists


@asynchronous
async def test_what_waits_comes_first_through_all_pages(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answers = []
        for turn in range(7):
            await world.clock.advance(1)
            answers.append((await world.ask_to_run(f"make {turn}")).approval_id)
        for decided in (answers[6], answers[0], answers[3]):
            await world.reject(decided)
        waiting = [answers[5], answers[4], answers[2], answers[1]]
        done = [answers[6], answers[3], answers[0]]
        for limit in (1, 2, 3, 4, 5, 7, 100):
            seen: list[str] = []
            cursor = None
            for _ in range(20):
                page = await world.ask("approvals.list", limit=limit, cursor=cursor)
                seen += [one.approval_id for one in page.approvals]
                cursor = page.next
                if cursor is None:
                    break
            assert seen == [*waiting, *done], limit
        rejected = await world.ask("approvals.list", status="rejected, expired")
        assert [one.approval_id for one in rejected.approvals] == done


@asynchronous
async def test_a_list_is_narrowed_by_kind_flow_and_status(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        await world.question("a-flow", flow_id="f1", step="ship")
        assert [one.approval_id for one in (await world.ask("approvals.list", kind="exec")).approvals] == [
            answer.approval_id
        ]
        assert [one.approval_id for one in (await world.ask("approvals.list", flow="f1")).approvals] == ["a-flow"]
        assert (await world.ask("approvals.list", status="approved")).approvals == []
        assert await code_of(world.ask("approvals.list", status="open"), BadInput) == "bad_input"
        for cursor in ("x", "pending:x", "decided:x", ":"):
            assert await code_of(world.ask("approvals.list", cursor=cursor), BadInput) == "bad_cursor"


@asynchronous
async def test_who_waits_for_questions_is_told_at_once_and_polls_nothing(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        old = await world.ask_to_run("make old")
        waiting = asyncio.create_task(world.ask("approvals.list", after=old.approval_id, timeoutMs=600_000))
        own = asyncio.create_task(world.ask("approvals.list", caller=BOB, timeoutMs=600_000))
        await world.go(0.3)
        calls = world.store.calls["list_approvals"]
        await world.clock.advance(300)
        assert world.store.calls["list_approvals"] == calls and not waiting.done()
        new = await world.ask_to_run("make new")
        assert [one.approval_id for one in (await waiting).approvals] == [new.approval_id]
        assert not own.done()
        theirs = await world.ask_to_run("make bobs", caller=BOB)
        assert [one.approval_id for one in (await own).approvals] == [theirs.approval_id]


@asynchronous
async def test_a_wait_for_questions_ends_with_its_time_and_with_the_gateway(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        await world.ask_to_run()
        assert (await world.ask("approvals.list", timeoutMs=0)).approvals == []
        waiting = asyncio.create_task(world.ask("approvals.list", timeoutMs=5_000))
        await world.settle()
        await world.clock.advance(5)
        assert (await waiting).approvals == []
        waiting = asyncio.create_task(world.ask("approvals.list", timeoutMs=600_000))
        await world.settle()
        world.api.stop_waits()
        assert (await waiting).approvals == []


# links


def token_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["t"][0]


@asynchronous
async def test_a_link_is_good_for_one_approval_and_one_span(tmp_path: Path) -> None:
    async with approval_world(tmp_path, settings={"OUTLAST_GATEWAY_PUBLIC_URL": "https://box.example/o"}) as world:
        answer = await world.ask_to_run()
        now = world.clock.now()
        made = await world.ask("approvals.link", answer.approval_id)
        assert made.url.startswith(f"https://box.example/o/approvals/{answer.approval_id}?t=")
        secret = links.secret_at(world.config.paths.approval_secret)
        asked = await world.approval(answer.approval_id)
        assert read_token(secret, answer.approval_id, token_of(made.url), now) == Grant(
            "both", int(asked.expires_at or 0)
        )
        short = await world.ask("approvals.link", answer.approval_id, may="approve", expiresSeconds=60)
        assert read_token(secret, answer.approval_id, token_of(short.url), now) == Grant("approve", int(now) + 60)
        never = await world.question("a-never")
        assert never.expires_at is None
        for approval_id, seconds in ((never.id, 2 * DAY), (answer.approval_id, DAY)):
            made = await world.ask("approvals.link", approval_id)
            grant = read_token(secret, approval_id, token_of(made.url), now)
            assert isinstance(grant, Grant) and abs(grant.expires_at - now - seconds) <= 2
        await world.reject(answer.approval_id)
        assert await code_of(world.ask("approvals.link", answer.approval_id)) == "conflict"


@asynchronous
async def test_a_link_needs_an_address(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        assert await code_of(world.ask("approvals.link", answer.approval_id)) == "no_address"


@pytest.mark.parametrize(
    ("listen", "hosts", "base"),
    [
        ("127.0.0.1:8080", "", "http://127.0.0.1:8080"),
        ("[::1]:8080", "", "http://[::1]:8080"),
        ("0.0.0.0:80", "", None),
        ("[::]:80", "box.local", "http://box.local:80"),
    ],
)
def test_a_link_leads_to_where_the_gateway_listens(tmp_path: Path, listen: str, hosts: str, base: str | None) -> None:
    from api_fakes import World

    world = World(tmp_path, {"OUTLAST_GATEWAY_ALLOW_HOSTS": hosts})
    type(world).facts.fget  # noqa: B018 — the property is replaced below
    facts = world.facts._replace(listen=listen)

    class Gateway:
        def __init__(self) -> None:
            self.facts = facts

    world.api.gateway = Gateway()  # type: ignore[assignment]
    assert links.base_url(world.api) == base


def test_the_secret_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "approval.secret")
    secret = links.secret_at(path)
    assert len(secret) == 32 and links.secret_at(path) == secret
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["approval.secret"]
    os.chmod(path, 0o644)
    with pytest.raises(Refused):
        links.secret_at(path)
    os.chmod(path, 0o600)
    for text in ("", "abc", "zz" * 32, "\0"):
        Path(path).write_text(text)
        with pytest.raises(Refused):
            links.secret_at(path)
    os.unlink(path)
    os.symlink("/etc/hostname", path)
    with pytest.raises(OSError, match="symbolic link"):
        links.secret_at(path)


# telling


@asynchronous
async def test_the_conversation_hears_of_the_question_and_how_to_answer_it(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        hers = "agent:coder:with:agent:alice:main"
        answer = await world.ask_to_run(conversation=hers)
        [text] = await world.told(hers)
        assert f"outlast approvals approve {answer.approval_id} (or reject {answer.approval_id})" in text
        assert "| $ make deploy" in text and "agent:alice:main asks" in text
        assert await world.told(ALICE.requester) == []
        other = await world.ask_to_run("make other")
        [text] = await world.told(ALICE.requester)
        assert other.approval_id in text


@asynchronous
async def test_no_link_goes_to_whoever_asked(tmp_path: Path) -> None:
    """Whoever has a link decides: it goes to those whom the operator has named, and to nobody else."""
    config = settings(tmp_path, 'approvals.notify = ["boss"]\ngateway.public_url = "https://box.example"\n')
    async with approval_world(tmp_path, settings=config) as world:
        answer = await world.ask_to_run()
        asked = await world.told(ALICE.requester)
        assert len(asked) == 1 and "https://" not in asked[0]
        [told] = await world.told("boss")
        [line] = [line for line in told.splitlines() if "https://" in line]
        url = line.removeprefix("To answer: ")
        secret = links.secret_at(world.config.paths.approval_secret)
        assert isinstance(read_token(secret, answer.approval_id, token_of(url), world.clock.now()), Grant)
        shown = await world.ask("approvals.show", answer.approval_id, caller=ALICE)
        assert "https://" not in repr(shown)


@asynchronous
async def test_those_who_decide_are_told_of_each_question_once_through_restarts(tmp_path: Path) -> None:
    config = settings(tmp_path, 'approvals.notify = ["boss", "deputy"]\n')
    async with approval_world(tmp_path, settings=config) as world:
        first = await world.ask_to_run("make a")
        assert len(await world.told("boss")) == 1
        await world.restart()
        await world.go(0.3)
        second = await world.ask_to_run("make b")
        await world.question("a-flow")
        for key in ("boss", "deputy"):
            texts = await world.told(key)
            assert len(texts) == 3
            assert all(
                sum(name in text for text in texts) == 1 for name in (first.approval_id, second.approval_id, "a-flow")
            )


@asynchronous
async def test_a_gateway_that_died_before_it_told_tells_at_its_next_start(tmp_path: Path) -> None:
    config = settings(tmp_path, 'approvals.notify = ["boss"]\n')
    async with approval_world(tmp_path, settings=config) as world:

        async def ask() -> None:
            store = SqliteStore(str(world.file))
            await store.open()
            try:
                await store.ask_approval(_question(world, "a1"))
            finally:
                await store.close()

        await world.restart(ask)
        assert len(await world.told("boss")) == 1


@asynchronous
async def test_many_that_wait_are_all_told_and_none_is_told_again(tmp_path: Path) -> None:
    config = settings(tmp_path, 'approvals.notify = ["boss"]\n')
    async with approval_world(tmp_path, settings=config) as world:
        for number in range(450):
            await world.store.ask_approval(_question(world, f"a{number:03}"))
        await world.go(0.3)
        await world.ask_to_run()
        assert len(await world.store.list_notices(None, "boss", 1000)) == 451


def _question(world: Any, approval_id: str) -> Approval:
    return Approval(
        id=approval_id, kind=ApprovalKind.FLOW, requester="local", status=ApprovalStatus.PENDING, prompt="Ship?",
        created_at=world.clock.now(),
    )  # fmt: skip


@asynchronous
async def test_a_target_that_is_none_is_named_when_the_gateway_starts(tmp_path: Path) -> None:
    for target in ("webhook:nowhere", "command:x", "x" * 300):
        with pytest.raises(BadInput):
            async with approval_world(tmp_path, settings={"OUTLAST_APPROVALS_NOTIFY": target}):
                pass


@asynchronous
async def test_an_answer_to_a_question_that_nothing_waits_for_is_told(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        await world.question("a1", requester=ALICE.requester)
        await world.approve("a1", note="fine")
        texts = await world.told(ALICE.requester)
        assert any(text.startswith("The approval was approved by local (http).") and "| fine" in text for text in texts)


# without a gateway


@asynchronous
async def test_hostile_words_come_back_as_they_were_given_and_break_nothing(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        prompt = "<script>alert(1)</script> \x1b]0;x\x07 \u202e $(id) {text} %s '\"\\ 漢字"
        await world.question("a1", prompt=prompt, preview="v" * 20_000)
        shown = await world.ask("approvals.show", "a1")
        assert (shown.prompt, len(shown.preview)) == (prompt, 20_000)
        [text] = await world.told("local")
        assert "\x1b" not in text and r"\x1b]0;x\x07 \u202e" in text
