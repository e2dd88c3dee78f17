"""Approvals over HTTP: the addresses, and the page behind a link, which a GET never decides."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from api_fakes import asynchronous
from approval_world import ALICE, approval_world, settings
from web import TOKEN, Answer, Web, serving

from outlast.api.links import secret_at
from outlast.core.approval import ApprovalStatus
from outlast.core.approval_link import Grant, make_token

PUBLIC = "https://box.example:8443/outlast"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \x1b[31m \u202e &amp; </pre></main> \"'`${x}{{y}}"


@asynccontextmanager
async def house(tmp_path: Path, public: str = PUBLIC) -> AsyncIterator[Web]:
    config = settings(tmp_path, f'gateway.public_url = "{public}"\n' if public else "")
    async with approval_world(tmp_path, settings=config) as world, serving(tmp_path, world=world) as web:
        yield web


async def link(web: Web, approval_id: str, **fields: Any) -> str:
    """Make a link and return its path and query, as the gateway behind a proxy sees it."""
    made = await web.ask("POST", f"/v1/approvals/{approval_id}/link", fields)
    assert made.status == 200, made
    return str(made.json["url"]).removeprefix(PUBLIC)


async def post(web: Web, path: str, headers: dict[str, str] | None = None, **fields: str) -> Answer:
    form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    answer = await web.ask("POST", path, urlencode(fields).encode(), form, tcp=True)
    await web.world.settle()
    return answer


async def get(web: Web, path: str, headers: dict[str, str] | None = None) -> Answer:
    return await web.ask("GET", path, headers=headers, tcp=True)


# addresses


@asynchronous
async def test_the_addresses_list_show_and_decide(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        asked = await web.ask("POST", "/v1/exec", {"command": "make", "ask": True, "requester": "agent:x"})
        assert (asked.json["status"], asked.json["approvalId"][0]) == ("queued", "a")
        id_ = asked.json["approvalId"]
        [listed] = (await web.ask("GET", "/v1/approvals?status=pending")).json["approvals"]
        assert (listed["approvalId"], listed["taskId"], listed["mayDecide"]) == (id_, asked.json["taskId"], True)
        assert (await web.ask("GET", f"/v1/approvals/{id_}")).json["preview"] == "$ make"
        own = await web.ask("POST", f"/v1/approvals/{id_}/approve", {"requester": "agent:x"})
        assert (own.status, own.code) == (403, "own_approval")
        stale = await web.ask("POST", f"/v1/approvals/{id_}/approve", {"revision": 3})
        assert (stale.status, stale.code) == (409, "conflict")
        decided = await web.ask("POST", f"/v1/approvals/{id_}/approve", {"note": "go"})
        assert (decided.json["status"], decided.json["decidedHow"], decided.json["note"]) == ("approved", "http", "go")
        again = await web.ask("POST", f"/v1/approvals/{id_}/reject", {})
        assert (again.status, again.code) == (409, "conflict")
        assert (await web.ask("GET", "/v1/approvals/nope")).status == 404
        assert (await web.ask("GET", "/v1/approvals?limit=0")).status == 400


@asynchronous
async def test_the_tool_form_says_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as web:

        async def tool(**fields: Any) -> Answer:
            return await web.ask("POST", "/v1/tool", {"tool": "approvals", **fields})

        asked = await web.ask("POST", "/v1/tool", {"tool": "exec", "command": "make", "ask": True})
        id_ = asked.json["approvalId"]
        assert [one["approvalId"] for one in (await tool(action="list")).json["approvals"]] == [id_]
        assert (await tool(action="show", approvalId=id_)).json["status"] == "pending"
        assert (await tool(action="link", approvalId=id_)).json["url"].startswith(PUBLIC)
        assert (await tool(action="approve")).code == "bad_input"
        assert (await tool(action="aprove", approvalId=id_)).json["error"]["hint"] == "did you mean approve?"
        assert (await tool(action="reject", approvalId=id_, note="no")).json["decidedHow"] == "tool"


@asynchronous
async def test_a_wait_over_http_is_answered_by_a_question(tmp_path: Path) -> None:
    import asyncio

    async with house(tmp_path) as web:
        waiting = asyncio.create_task(web.ask("GET", "/v1/approvals?timeoutMs=600000"))
        await web.world.settle()
        await asyncio.sleep(0.05)  # until the request has come through the socket; it waits however long that takes
        answer = await web.world.ask_to_run()
        assert [one["approvalId"] for one in (await waiting).json["approvals"]] == [answer.approval_id]


# the page


@asynchronous
async def test_a_link_shows_the_question_and_decides_by_its_form_only(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        world = web.world
        answer = await world.ask_to_run("make deploy", title="Deploy <b>1.2</b>")
        path = await link(web, answer.approval_id)
        for _ in range(3):  # a mail program, a chat and a person look at it
            page = await get(web, path)
            assert page.status == 200 and page.headers["content-type"].startswith("text/html")
        text = page.body.decode()
        assert "$ make deploy" in text and "agent:alice:main" in text and str(tmp_path) in text
        assert "<dt>title</dt><dd>Deploy &lt;b&gt;1.2&lt;/b&gt;</dd>" in text
        assert re.search(r"<dt>asked at</dt><dd>[\d-]{10} [\d:]{8} UTC</dd>", text)
        assert re.findall(r'<button [^>]*value="(\w+)"', text) == ["approve", "reject"]
        assert (await world.approval(answer.approval_id)).status is ApprovalStatus.PENDING
        done = await post(web, path, decision="approve", note="from the train\r\nok")
        assert done.status == 200 and "The approval was approved by link</h1>" in done.body.decode()
        decided = await world.approval(answer.approval_id)
        assert (decided.status, decided.decided_by, decided.decided_how) == ("approved", "link", "link")
        assert decided.note == "from the train\nok"
        assert world.ran() == ["make deploy"]


@asynchronous
async def test_a_link_used_twice_says_who_decided(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        answer = await web.world.ask_to_run()
        path = await link(web, answer.approval_id)
        await web.world.approve(answer.approval_id, via="cli", note="mine")
        for page in (await get(web, path), await post(web, path, decision="reject")):
            text = page.body.decode()
            assert ("Your answer came too late" in text) == (page.status == 409)
            assert "The approval was approved by local (cli)" in text and "mine" in text and "<form" not in text
        assert page.status == 409
        assert web.world.ran() == ["make deploy"]


@asynchronous
async def test_a_link_does_only_what_it_was_made_for(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        answer = await web.world.ask_to_run()
        path = await link(web, answer.approval_id, may="reject")
        assert re.findall(r'<button [^>]*value="(\w+)"', (await get(web, path)).body.decode()) == ["reject"]
        assert (await post(web, path, decision="approve")).status == 403
        assert (await web.world.approval(answer.approval_id)).status is ApprovalStatus.PENDING
        assert (await post(web, path, decision="reject")).status == 200
        assert (await web.world.approval(answer.approval_id)).status is ApprovalStatus.REJECTED


@asynchronous
async def test_a_forged_old_or_borrowed_link_is_refused_and_tells_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        world = web.world
        answer, other = await world.ask_to_run("make secret-plan"), await world.ask_to_run("make other")
        good = await link(web, answer.approval_id)
        borrowed = good.replace(answer.approval_id, other.approval_id)
        token = good.partition("?t=")[2]
        wrong = [
            borrowed, good[:-1], good + "A", f"/approvals/{answer.approval_id}", f"/approvals/{answer.approval_id}?t=",
            f"/approvals/{answer.approval_id}?t={token}%C3%A9", f"/approvals/nope?t={token}",
            f"/approvals/{answer.approval_id}?t={quote(chr(0))}", f"/approvals/%ff?t={token}",
            f"/approvals/{answer.approval_id}?t={make_token(bytes(32), answer.approval_id, Grant('both', 2**40))}",
        ]  # fmt: skip
        for path in wrong:
            for page in (await get(web, path), await post(web, path, decision="approve")):
                assert page.status == 403, path
                text = page.body.decode()
                assert "not one of this gateway" in text and "secret-plan" not in text and "make" not in text
        short = await link(web, answer.approval_id, expiresSeconds=60)
        await world.clock.advance(61)
        page = await post(web, short, decision="approve")
        assert page.status == 403 and "has expired" in page.body.decode()
        assert (await world.approval(answer.approval_id)).status is ApprovalStatus.PENDING
        assert world.ran() == []


@asynchronous
async def test_a_link_to_an_approval_that_is_gone_or_too_old_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        world = web.world
        answer = await world.ask_to_run(approvalExpiresSeconds=60)
        secret = secret_at(world.config.paths.approval_secret)
        path = f"/approvals/{answer.approval_id}?t={make_token(secret, answer.approval_id, Grant('both', 2**33))}"
        world.clock.at += 61
        page = await post(web, path, decision="approve")
        assert page.status == 409 and "has expired" in page.body.decode() and world.ran() == []
        gone = f"/approvals/a-gone?t={make_token(secret, 'a-gone', Grant('both', 2**33))}"
        assert (await get(web, gone)).status == 404


@asynchronous
async def test_what_others_have_written_is_text_on_the_page(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        await web.world.question(
            "a1", requester=HOSTILE[:80].replace("\x1b", ""), prompt=HOSTILE, preview=HOSTILE * 50, step=HOSTILE,
            detail={"workdir": HOSTILE},
        )  # fmt: skip
        page = await get(web, await link(web, "a1"))
        text = page.body.decode()
        tags = set(re.findall(r"</?([a-z0-9!]+)", text))
        assert tags <= {
            "!doctype", "html", "head", "meta", "title", "style", "body", "main", "h1", "p", "pre", "dl", "dt", "dd",
            "form", "label", "textarea", "button",
        }  # fmt: skip
        assert "\x1b" not in text and "\u202e" not in text
        assert HOSTILE.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e") in unescape(text)
        done = await post(web, await link(web, "a1"), decision="reject", note=HOSTILE)
        assert "<script" not in done.body.decode() and "onerror=alert" in unescape(done.body.decode())


@asynchronous
async def test_the_page_loads_nothing_runs_nothing_and_cannot_be_framed(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        answer = await web.world.ask_to_run()
        for page in (await get(web, await link(web, answer.approval_id)), await get(web, "/approvals/x?t=y")):
            policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
            assert policy.pop("style-src").startswith("'sha256-")
            assert policy == {
                "default-src": "'none'", "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
            }  # fmt: skip
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["referrer-policy"] == "same-origin"
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["x-content-type-options"] == "nosniff"
            assert not re.search(r"<script|<link|<img|src=|http-equiv|url\(", page.body.decode())


@asynchronous
async def test_the_style_is_the_one_that_the_policy_lets_through(tmp_path: Path) -> None:
    from base64 import b64encode
    from hashlib import sha256

    async with house(tmp_path) as web:
        page = await get(web, "/approvals/x?t=y")
        [style] = re.findall(r"<style>(.*?)</style>", page.body.decode(), re.S)
        digest = b64encode(sha256(style.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.headers["content-security-policy"]


@asynchronous
async def test_a_form_that_is_wrong_is_refused_in_words(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        answer = await web.world.ask_to_run()
        path = await link(web, answer.approval_id)
        for fields, status in (
            ({}, 400), ({"decision": "maybe"}, 400), ({"decision": "approve", "note": "x" * 2_001}, 400),
            ({"decision": "approve", "note": "x" * 70_000}, 400), ({str(n): "x" for n in range(20)}, 400),
        ):  # fmt: skip
            page = await post(web, path, **fields)
            assert (page.status, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert (await web.world.approval(answer.approval_id)).status is ApprovalStatus.PENDING
        note = await post(web, path, decision="reject", note="a\0b\ud800".encode("utf-8", "replace").decode())
        assert note.status == 200


# the door


@asynchronous
async def test_the_rules_of_the_door_hold_for_links_but_for_the_token(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        answer = await web.world.ask_to_run()
        path = await link(web, answer.approval_id)
        assert (await get(web, path, {"Host": "evil.example"})).status == 403
        assert (await post(web, path, {"Host": "evil.example"}, decision="approve")).status == 403
        own = urlsplit(PUBLIC).netloc
        foreign = {"Host": own, "Origin": "https://evil.example"}
        for headers in (
            foreign, {"Host": own, "Origin": "null"}, {"Host": own, "Sec-Fetch-Site": "cross-site"},
            {"Host": own, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        ):  # fmt: skip
            assert (await post(web, path, headers, decision="approve")).status == 403
        assert (await web.world.approval(answer.approval_id)).status is ApprovalStatus.PENDING
        opened = {"Host": own, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert (await get(web, path, {**opened, "Sec-Fetch-Dest": "document"})).status == 200
        assert (await get(web, path, {**opened, "Sec-Fetch-Dest": "iframe"})).status == 403
        assert (await get(web, path, {"Host": own, "Sec-Fetch-Site": "cross-site"})).status == 403
        same = {"Host": own, "Origin": "https://box.example:8443", "Sec-Fetch-Site": "same-origin"}
        assert (await post(web, path, same, decision="approve")).status == 200


@asynchronous
async def test_behind_its_public_address_everything_else_still_needs_the_token(tmp_path: Path) -> None:
    async with house(tmp_path) as web:
        own = {"Host": "box.example:8443"}
        assert (await get(web, "/v1/approvals", own)).code == "no_token"
        bearer = {**own, "Authorization": f"Bearer {TOKEN}"}
        assert (await get(web, "/v1/approvals", bearer)).status == 200
        for path in ("/approvals", "/approvals/", "/v1/exec", "/approvals/../v1/approvals", "/approvals/x/y"):
            page = await get(web, path, own)
            assert page.status in (403, 404), path
        assert (await get(web, "/v1/approvals", {"Host": "box.example:1"})).code == "bad_host"


@asynchronous
async def test_without_a_public_address_a_link_leads_to_where_it_listens(tmp_path: Path) -> None:
    async with house(tmp_path, public="") as web:
        answer = await web.world.ask_to_run(caller=ALICE)
        refused = await web.ask("POST", f"/v1/approvals/{answer.approval_id}/link", {})
        assert (refused.status, refused.code) == (409, "no_address")
        secret = secret_at(web.world.config.paths.approval_secret)
        token = make_token(secret, answer.approval_id, Grant("both", 2**33))
        page = await post(
            web, f"/approvals/{answer.approval_id}?t={token}", {"Host": f"127.0.0.1:{web.port}"}, decision="approve"
        )
        assert page.status == 200


@asynchronous
async def test_trouble_of_the_store_is_a_page_too(tmp_path: Path) -> None:
    from outlast.core.errors import GatewayTrouble

    async with house(tmp_path) as web:
        answer = await web.world.ask_to_run()
        path = await link(web, answer.approval_id)
        web.world.store.failing["get_approval"] = GatewayTrouble("the disk is full", code="store_full")
        page = await get(web, path)
        assert page.status == 503 and "the disk is full" in page.body.decode()


@pytest.mark.parametrize("may", ["both", "approve", "reject"])
def test_links_are_short_enough_for_any_message(may: Any) -> None:
    assert len(make_token(bytes(32), "a" * 17, Grant(may, 2**33))) <= 60
