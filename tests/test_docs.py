"""The documentation, held to the code: what it names exists, and what exists is named."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import json
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

import pytest
import standardwebhooks

from outlast.api import (
    approval_requests,
    approval_results,
    flow_requests,
    flow_results,
    heartbeat_requests,
    heartbeat_results,
    requests,
    results,
    task_requests,
    task_results,
    told_requests,
    told_results,
)
from outlast.core import errors, findings
from outlast.core.approval import ApprovalKind, ApprovalStatus
from outlast.core.durations import parse_duration
from outlast.core.flow import FlowMode
from outlast.core.lifecycle import FlowVerb, Verb, chart, flow_chart
from outlast.core.schedule import Misfire, Overlap, parse_misfire
from outlast.core.session import Cause, Exit, Status, status_of
from outlast.delivery.backoff import ATTEMPTS_MAX
from outlast.delivery.channels import signature
from outlast.delivery.channels.targets import KINDS, command_target
from outlast.delivery.channels.template import GAPS
from outlast.scheduler import cron
from outlast.store.base_told import How
from outlast.surfaces import tools
from outlast.surfaces.cli.parse import parse
from outlast.surfaces.cli.verbs import VERBS
from outlast.surfaces.http.routes import ROUTES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TOP = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = sorted([*TOP, *DOCS.rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
NOTICE_STATE = get_type_hints(told_requests.NoticesRequest)["state"]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gen_docs", ROOT / "tools" / "gen_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gen_docs = load_generator()


def blocks(path: Path, language: str) -> list[str]:
    return [body for tag, body in FENCE.findall(path.read_text("utf-8")) if tag == language]


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", path.read_text("utf-8"))


def anchors(path: Path) -> set[str]:
    """The fragment of every heading, as the usual renderers make it."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def links(path: Path) -> list[str]:
    return [link for link in LINK.findall(prose(path)) if not re.match(r"[a-z]+:", link)]


# generated pages


@pytest.mark.parametrize("page", sorted(gen_docs.PAGES))
def test_a_generated_page_is_what_the_code_says(page: str) -> None:
    """`make docs` after a change of the command line, the configuration or the errors."""
    assert (DOCS / "reference" / page).read_text("utf-8") == gen_docs.PAGES[page]()


def test_every_command_and_option_has_help() -> None:
    mute = [" ".join(verb.words) for verb in VERBS if not verb.help.endswith(".")]
    mute += [f"{verb.words} {o.flags[0]}" for verb in VERBS for o in verb.options if not o.help.endswith(".")]
    assert mute == []


def test_every_error_family_has_its_own_exit_code() -> None:
    codes = [family.exit_code for family in errors.FAMILIES]
    assert len(set(codes)) == len(codes)
    ours = {kind for kind in errors.OutlastError.__subclasses__() if kind.__module__ == errors.__name__}
    assert set(errors.FAMILIES) == ours


# links


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = []
    for link in links(path):
        file, _, fragment = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    left = [DOCS / "index.md"]
    while left:
        page = left.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            left += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    lonely = {name(p) for p in DOCS.rglob("*.md")} - {name(p) for p in seen}
    assert lonely - {"docs/adr/template.md"} == set()


def test_every_decision_is_listed() -> None:
    records = {path.name for path in (DOCS / "adr").glob("[0-9]*.md")}
    assert records
    assert records <= set(links(DOCS / "adr" / "README.md"))


# code blocks


def json_blocks() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        for body in blocks(path, "json"):
            yield name(path), body


@pytest.mark.parametrize(("page", "body"), list(json_blocks()))
def test_json_in_the_documentation_is_json(page: str, body: str) -> None:
    json.loads(body)


def console_commands() -> Iterator[tuple[str, str]]:
    """Every `$ …` line that calls outlast."""
    for path in PAGES:
        for body in blocks(path, "console"):
            for line in body.splitlines():
                if line.startswith("$ ") and "outlast" in line:
                    yield name(path), line[2:]


def words_of(line: str) -> list[list[str]]:
    """The argument lists of every call of outlast in a shell line, without the program's name."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&()<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    calls: list[list[str]] = []
    inside = False
    for word in lexer:
        if word == "outlast":
            calls.append([])
            inside = True
        elif set(word) <= set("|;&()<>"):
            inside = False
        elif inside:
            calls[-1].append(word)
    return calls


@pytest.mark.parametrize(("page", "line"), list(console_commands()))
def test_a_shown_command_is_one_that_outlast_takes(page: str, line: str) -> None:
    for words in words_of(line):
        assert parse(words) is not None, f"outlast does not take: {words}"


def test_commands_in_the_documentation_are_found() -> None:
    """The parser above must not pass by finding nothing."""
    assert words_of("FOO=1 outlast process wait ID --quiet 5s | cat; outlast status > file # look") == [
        ["process", "wait", "ID", "--quiet", "5s"],
        ["status"],
    ]
    assert len(list(console_commands())) > 30


def test_the_readme_names_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in TOP:
        for line in "\n".join(blocks(page, "console")).splitlines():
            if line.startswith("$ make "):
                assert line.split()[2] in targets


# hand-written pages


def test_the_code_map_names_every_package() -> None:
    source = ROOT / "src" / "outlast"
    packages = [p.parent for p in source.rglob("__init__.py") if p.parent not in (source, source / "surfaces")]
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    assert [name(p) for p in packages if f"`{p.relative_to(source)}/`" not in text] == []


def table_rows(path: Path, first: str) -> dict[str, list[str]]:
    """Rows of a table whose header begins with ``first``: first cell without ticks → the other cells."""
    rows: dict[str, list[str]] = {}
    lines = iter(prose(path).splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
                rows[cells[0].strip("`")] = cells[1:]
    return rows


def test_every_status_and_cause_is_explained_as_the_code_has_it() -> None:
    page = DOCS / "reference" / "session-states.md"
    statuses = table_rows(page, "status")
    assert set(statuses) == {str(status) for status in Status}
    for status in Status:
        assert statuses[status][-1].startswith("yes" if status.final else "no")
    causes = table_rows(page, "cause")
    assert set(causes) == {str(cause) for cause in Cause}
    for cause in Cause:
        shown = set(re.findall(r"`(\w+)`", causes[cause][0]))
        assert shown == {str(status_of(Exit(cause=cause, at=None, code=code))) for code in (0, 1)}


def test_every_address_is_in_the_reference_and_no_other() -> None:
    shown = set(table_rows(DOCS / "reference" / "http.md", "method and path"))
    assert shown == {f"{row.method} {row.path}" for row in ROUTES}


def test_every_action_of_the_tool_form_is_in_the_reference_and_no_other() -> None:
    assert set(table_rows(DOCS / "reference" / "tool.md", "action")) == set(tools.ACTIONS)
    assert set(table_rows(DOCS / "reference" / "tool.md", "task action")) == set(tools.TASK_ACTIONS)
    assert set(table_rows(DOCS / "reference" / "tool.md", "approval action")) == set(tools.APPROVAL_ACTIONS)
    assert set(table_rows(DOCS / "reference" / "tool.md", "flow action")) == set(tools.FLOW_ACTIONS)
    assert set(table_rows(DOCS / "reference" / "tool.md", "heartbeat action")) == set(tools.HEARTBEAT_ACTIONS)
    assert set(table_rows(DOCS / "reference" / "tool.md", "cron action")) == set(tools.CRON_ACTIONS)
    assert set(table_rows(DOCS / "reference" / "tool.md", "agent action")) == set(tools.AGENT_ACTIONS)
    assert set(table_rows(DOCS / "reference" / "tool.md", "subagent action")) == set(tools.SUBAGENT_ACTIONS)


def test_every_field_of_a_result_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "tool.md").read_text("utf-8")
    for record in (results.SessionResult, results.Truncated, results.Usage):
        assert set(record.__struct_encode_fields__) - set(re.findall(r"`(\w+)`", page)) == set()


REQUESTS = [
    type_
    for module in (requests, task_requests, told_requests, approval_requests, flow_requests, heartbeat_requests)
    for type_ in vars(module).values()
    if isinstance(type_, type) and issubclass(type_, requests.Request) and type_ is not requests.Request
]
ANSWERS = [
    type_
    for module in (task_results, told_results, approval_results, flow_results, heartbeat_results)
    for type_ in vars(module).values()
    if isinstance(type_, type) and issubclass(type_, results.Record) and type_ is not results.Record
]


def named_in(*pages: str) -> set[str]:
    """Every word in ticks on some pages of the reference."""
    text = "".join((DOCS / "reference" / page).read_text("utf-8") for page in pages)
    return set(re.findall(r"`(\w+)`", text))


@pytest.mark.parametrize("type_", REQUESTS, ids=lambda type_: type_.__name__)
def test_every_field_of_a_request_is_in_the_reference(type_: type[requests.Request]) -> None:
    assert set(type_.__struct_encode_fields__) - named_in("tool.md", "http.md") == set()


@pytest.mark.parametrize("type_", ANSWERS, ids=lambda type_: type_.__name__)
def test_every_field_of_an_answer_is_in_the_reference(type_: type[results.Record]) -> None:
    assert (
        set(type_.__struct_encode_fields__) - named_in("tasks.md", "cron.md", "http.md", "approvals.md", "flows.md")
        == set()
    )


def fields_of(page: str, first: str) -> set[str]:
    """Every word in the first cells of a table."""
    return {word for cell in table_rows(DOCS / "reference" / page, first) for word in re.findall(r"\w+", cell)}


def test_every_field_of_a_schedule_has_a_row_and_no_other() -> None:
    asked = {*told_requests.CronAddRequest.__struct_encode_fields__}
    asked |= {*told_requests.CronEditRequest.__struct_encode_fields__}
    assert fields_of("cron.md", "request field") == asked - {"requester"}
    assert fields_of("cron.md", "schedule field") == {*told_results.ScheduleResult.__struct_encode_fields__}


@pytest.mark.parametrize(
    ("page", "first", "words"),
    [
        ("cron.md", "policy", {*Overlap, "skip", "once", "all", "N"}),
        ("cron.md", "how", {*get_args(How)}),
        ("cron.md", "status", {"active", "paused", "disabled", "done"}),
        ("conversations.md", "status", {"ready", "failing", "parked"}),
        ("delivery.md", "state", {*get_args(get_args(NOTICE_STATE)[0])}),
        ("approvals.md", "approval status", {*ApprovalStatus}),
        ("approvals.md", "kind", {*ApprovalKind}),
        ("flows.md", "mode", {*FlowMode}),
        ("flows.md", "flow field", {*flow_results.FlowResult.__struct_encode_fields__}),
        ("flows.md", "step field", {*flow_results.StepResult.__struct_encode_fields__}),
        (
            "flows.md",
            "shown field",
            {*flow_results.FlowShown.__struct_encode_fields__} - {*flow_results.FlowResult.__struct_encode_fields__},
        ),
        ("approvals.md", "approval field", {*approval_results.ApprovalResult.__struct_encode_fields__}),
        ("tasks.md", "finding", {*findings.Code}),
    ],
)
def test_every_word_for_how_things_stand_is_explained_and_no_other(page: str, first: str, words: set[str]) -> None:
    assert fields_of(page, first) == words


def test_every_channel_is_explained_with_its_target_and_its_wake() -> None:
    targets = {first.partition(":")[0].strip("`") for first in table_rows(DOCS / "reference" / "delivery.md", "target")}
    assert targets - {"the key of a conversation"} == set(KINDS)
    assert {kind.lower() for kind in KINDS} <= anchors(DOCS / "reference" / "delivery.md")
    wakes = " ".join(table_rows(DOCS / "reference" / "conversations.md", "option"))
    assert set(re.findall(r"--(\w+)", wakes)) == set(KINDS)


def test_every_placeholder_is_explained_and_no_other() -> None:
    rows = table_rows(DOCS / "reference" / "delivery.md", "placeholder")
    assert {first.strip("{}") for first in rows} - {""} == GAPS


def test_bounds_that_the_pages_name_are_those_of_the_code() -> None:
    page = (DOCS / "reference" / "delivery.md").read_text("utf-8")
    assert f"the {ATTEMPTS_MAX}th attempt failed" in page
    for policy in Misfire:
        assert parse_misfire(f"{policy}:3" if policy is Misfire.ALL else policy)[0] is policy


def test_what_the_pages_schedule_and_wake_is_what_outlast_takes() -> None:
    """A command line that can be parsed may still name an expression or a template that is refused."""
    seen = {"--cron": 0, "--every": 0, "--command": 0}
    for _, line in console_commands():
        for words in words_of(line):
            for option, value in itertools.pairwise(words[: words.index("--")] if "--" in words else words):
                if option == "--cron":
                    cron.read(value)
                elif option == "--every":
                    parse_duration(value)
                elif option == "--command" and words[0] == "wake":
                    command_target(value)
                else:
                    continue
                seen[option] += 1
    assert all(seen.values())


def python_blocks() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        for body in blocks(path, "python"):
            yield name(path), body


@pytest.mark.parametrize(("page", "body"), list(python_blocks()))
def test_python_in_the_documentation_is_python(page: str, body: str) -> None:
    compile(body, page, "exec")


def test_the_verification_that_the_pages_show_is_that_of_the_public_package() -> None:
    """What `delivery.md` and the how-to import and call exists, and takes what outlast signs."""
    secret = signature.new_secret()
    body = b'{"type": "task.ended"}'
    headers = signature.sign([signature.read_secret(secret)], "id", int(time.time()), body)
    shown = [body for _, body in python_blocks() if "standardwebhooks" in body]
    assert all('Webhook("whsec_…").verify(body, headers)' in text for text in shown)
    assert len(shown) == 2
    assert standardwebhooks.Webhook(secret).verify(body, headers) == {"type": "task.ended"}


def test_the_record_of_a_task_has_a_row_for_every_field_and_no_other() -> None:
    rows = table_rows(DOCS / "reference" / "tasks.md", "field")
    shown = {word for first in rows for word in re.findall(r"\w+", first)}
    assert shown == set(task_results.TaskResult.__struct_encode_fields__)


def test_the_chart_of_moves_is_printed_from_the_table() -> None:
    assert chart() in blocks(DOCS / "reference" / "tasks.md", "mermaid")


def test_the_chart_of_flows_is_printed_from_their_table() -> None:
    assert flow_chart() in blocks(DOCS / "explanation" / "flows.md", "mermaid")


def flow_lines() -> set[str]:
    """The verbs of everything that is written into a flow's history."""
    found = {str(verb) for verb in FlowVerb} | {"takeover"}
    for path in (ROOT / "src" / "outlast" / "store").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "flow_line"
            if called and len(node.args) > 2 and isinstance(node.args[2], ast.Constant):
                found.add(str(node.args[2].value))
    return found


def test_every_line_of_a_flows_history_is_explained_and_no_other() -> None:
    rows = table_rows(DOCS / "reference" / "flows.md", "flow verb")
    assert {word for first in rows for word in re.findall(r"\w+", first)} == flow_lines()


def lines_of_history() -> set[str]:
    """The verbs of everything that is written into a task's history: the moves, and what the code notes beside them."""
    found = {str(verb) for verb in Verb} | {"delivered", "parked"}  # how a notice was settled is told as it is
    place = {"_alter": 3, "note": 1, "_turn": 1, "line": 2}
    for folder in ("store", "ledger", "gateway", "api"):
        for path in (ROOT / "src" / "outlast" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    if called in place and len(node.args) > place[called]:
                        verb = node.args[place[called]]
                        assert isinstance(verb, ast.Constant) or called == "line"  # which may be handed it
                        if isinstance(verb, ast.Constant):
                            found.add(str(verb.value))
    return found


def test_every_line_of_history_is_explained_and_no_other() -> None:
    rows = table_rows(DOCS / "reference" / "tasks.md", "verb")
    shown = {word for first in rows for word in re.findall(r"\w+", first)}
    assert shown == lines_of_history()
