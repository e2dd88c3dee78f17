"""Flows from the command line, with a real gateway, real workers and real commands."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from cli_live import PATIENCE, Live, Terminal, line_of, lines_of
from test_cli_live import HEAVY

PROGRAM = """\
from outlast import flow, step, FlowContext

@step
async def publish(version: str) -> str:
    return f"https://example.com/{version}"

@flow
async def release(ctx: FlowContext, version: str, loud: bool = False) -> str:
    built = await ctx.run("build", ["echo", "built", version])
    url = await publish(version)
    return url.upper() if loud else url

@flow
async def careful(ctx: FlowContext) -> str:
    answer = await ctx.approve("ship", "Ship it?")
    said = await ctx.signal("go")
    return f"{answer.status} {said}"

@flow
async def broken(ctx: FlowContext) -> None:
    await ctx.run("fail", ["sh", "-c", "echo no >&2; exit 3"])
"""
FILE = """\
name: brief
args:
  tag: {default: family}
steps:
  - id: fetch
    run: echo mail
  - id: left
    run: [echo, "${steps.fetch.output}", "${args.tag}"]
    needs: [fetch]
  - id: right
    run: echo right
    needs: [fetch]
  - id: both
    run: [echo, "${steps.left.output}", "${steps.right.output}"]
    needs: [left, right]
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("flows", numbered=True)
    os.chmod(home, 0o700)
    live = Live(str(home))
    (home / "release.py").write_text(PROGRAM)
    (home / "brief.flow.yaml").write_text(FILE)
    yield live
    live.close()


def start(live, target, *words):
    """Start a flow of this home's files; return its id."""
    return live.json("flow", "start", f"{live.home}/{target}", *words, "--json")["flowId"]


def stands(live, flow, until):
    """Return how a flow stands as soon as that is what is waited for."""
    process = live.start("flow", "watch", flow, "--json")
    try:
        for line in lines_of(process.stdout):
            seen = json.loads(line)
            if until(seen):
                return seen
    finally:
        process.kill()
        process.communicate()
    raise AssertionError(f"flow {flow} never came to that")


def test_a_program_runs_to_its_end_and_gives_its_result(live):
    done = live.run("flow", "run", f"{live.home}/release.py:release", "1.2", "--arg", "loud=true", cwd=live.home)
    assert (done.returncode, done.stdout) == (0, b"HTTPS://EXAMPLE.COM/1.2\n"), done.stderr
    [line] = done.stderr.splitlines()
    flow = line.split()[-1].decode()
    shown = live.json("flow", "show", flow, "--json")
    assert [(step["key"], step["kind"], step["status"]) for step in shown["steps"]] == [
        ("build", "run", "succeeded"), ("publish", "function", "succeeded"),
    ]  # fmt: skip
    assert shown["result"] == "HTTPS://EXAMPLE.COM/1.2"
    task = live.json("tasks", "show", shown["steps"][0]["taskId"], "--json")
    assert (task["flowId"], task["status"]) == (flow, "succeeded")
    assert b"build" in live.run("flow", "show", flow, "--graph").stdout


def test_a_file_runs_its_branches_and_is_drawn_by_its_needs(live):
    done = live.run("flow", "run", "brief.flow.yaml", "--arg", "tag=work", cwd=live.home)
    assert (done.returncode, done.stdout) == (0, b"mail work right\n"), done.stderr
    flow = done.stderr.split()[-1].decode()
    graph = live.json("flow", "show", flow, "--graph=json")
    assert {node["key"]: node["stage"] for node in graph["nodes"]} == {"fetch": 1, "left": 2, "right": 2, "both": 3}
    mermaid = live.run("flow", "show", flow, "--graph=mermaid").stdout.decode()
    assert mermaid.count("-->") == 4


def test_a_failure_has_its_exit_code_and_is_taken_up_again(live):
    done = live.run("flow", "run", f"{live.home}/release.py:broken", cwd=live.home)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"failed after" in done.stderr and b"outlast flow retry" in done.stderr
    flow = done.stderr.split()[2].decode()
    assert live.json("flow", "retry", flow, "--json")["status"] == "queued"
    assert live.run("flow", "watch", flow).returncode == 1
    log = live.run("flow", "log", flow, "-f").stdout.decode()
    verbs = [line.split()[2] for line in log.splitlines()]
    moves = [verb for verb in verbs if verb not in ("wait", "claim")]  # it is put away where its command takes long
    assert (moves, verbs[1], verbs[4:].count("claim") > 0) == (["create", "fail", "retry", "fail"], "claim", True)


def test_a_flow_waits_for_an_answer_and_a_signal(live):
    flow = start(live, "release.py:careful")
    seen = stands(live, flow, lambda seen: seen["approvals"] and seen["waitsFor"])
    assert seen["waitsFor"][0]["command"] == f"outlast approvals approve {seen['approvals'][0]['approvalId']}"
    waited = live.json("flow", "show", flow, "--json")
    assert waited["approvals"][0]["prompt"] == "Ship it?"
    live.json("approvals", "approve", seen["approvals"][0]["approvalId"], "--json")
    seen = stands(
        live, flow, lambda seen: any(one["command"].startswith("outlast flow signal") for one in seen["waitsFor"])
    )
    assert seen["waitsFor"][0]["command"] == f"outlast flow signal {flow} go"
    assert live.json("flow", "signal", flow, "go", '"now"', "--key", "k", "--json")["existing"] is False
    done = live.run("flow", "watch", flow)
    assert (done.returncode, done.stdout) == (0, b"approved now\n")
    late = live.json("flow", "signal", flow, "go", "--json", code=4)
    assert late["error"]["code"] == "flow_ended"


def test_a_flow_is_called_off_from_another_terminal(live):
    flow = start(live, "release.py:careful")
    stands(live, flow, lambda seen: seen["approvals"] and seen["waitsFor"])
    watch = live.start("flow", "watch", flow)
    cancelled = live.json("flow", "cancel", flow, "--reason", "no", "--timeout", "60s", "--json")
    assert (cancelled["status"], cancelled["cancelReason"]) == ("cancelled", "no")
    assert watch.wait(PATIENCE) == 125
    watch.communicate()
    again = live.json("flow", "cancel", flow, "--json", code=4)
    assert again["error"]["code"] == "flow_ended"


def test_a_gateway_that_is_killed_is_no_end_of_a_watch(live):
    flow = start(live, "release.py:careful")
    seen = stands(live, flow, lambda seen: seen["approvals"] and seen["waitsFor"])
    watch = live.start("flow", "run", "--dedupe", "none", f"{live.home}/brief.flow.yaml")
    assert watch.wait(PATIENCE) == 0
    watch.communicate()
    watch = live.start("flow", "watch", flow, "--json")
    assert line_of(watch.stdout)
    live.kill_gateway()
    live.json("approvals", "approve", seen["approvals"][0]["approvalId"], "--json")
    live.json("flow", "signal", flow, "go", "1", "--json")
    out, err = watch.communicate(timeout=PATIENCE)
    assert watch.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["flow"]["result"] == "approved 1"


def test_a_program_with_a_mistake_says_so_while_the_flow_waits(live):
    source = os.path.join(live.home, "wrong.py")
    with open(source, "w") as file:
        file.write("import nowhere_at_all\nfrom outlast import flow\n@flow\nasync def wrong(ctx): ...\n")
    watch = live.start("flow", "run", f"{source}:wrong")
    said = b""
    while b"nowhere_at_all" not in said:
        line = line_of(watch.stderr)
        assert line, said
        said += line
    assert b"its program cannot be served" in said
    watch.send_signal(signal.SIGINT)
    assert watch.wait(PATIENCE) == 130
    rest = watch.communicate()[1]
    flow = said.split()[2].decode()
    assert f"flow {flow} goes on; back to it: outlast flow watch {flow}".encode() in rest
    assert live.json("flow", "cancel", flow, "--timeout", "60s", "--json")["status"] == "cancelled"


def test_a_terminal_shows_the_steps_as_they_go(live):
    terminal = Terminal(live, "flow", "run", f"{live.home}/brief.flow.yaml", cols=160)
    seen = terminal.until(b"both  run succeeded")
    assert b"fetch  run succeeded" in seen and b"left  run succeeded" in seen
    seen += terminal.until(b"mail family right")
    assert terminal.wait() == 0


def test_a_controller_drives_a_flow_by_revisions(live):
    flow = live.run("flow", "create", "deploy", "--goal", "ship", "--state", '{"stage":"plan"}').stdout.decode().strip()
    task = live.json("run", "--json", "--wait", "true")["taskId"]
    assert live.json("flow", "link", flow, task, "--revision", "1", "--json")["revision"] == 2
    stale = live.json("flow", "wait", flow, "--for", "x", "--revision", "1", "--json", code=4)
    assert stale["error"]["code"] == "conflict"
    waiting = live.json("flow", "wait", flow, "--for", "the review", "--revision", "2", "--json")
    assert (waiting["status"], waiting["heldUp"]) == ("waiting", "the review")
    assert live.run("flow", "resume", flow, "--revision", str(waiting["revision"])).returncode == 0
    now = live.json("flow", "show", flow, "--json")["revision"]
    ended = live.json("flow", "finish", flow, "--revision", str(now), "--result", '{"url":"u"}', "--json")
    assert (ended["status"], ended["result"]) == ("succeeded", {"url": "u"})


def test_a_schedule_starts_a_flow_with_arguments(live):
    added = live.run(
        "cron", "add", "--name", "daily", "--cron", "@daily", "--flow", "brief.flow.yaml", "--arg", "tag=cron",
        cwd=live.home,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    assert b"flow brief.flow.yaml tag=cron" in added.stdout
    ran = live.run("cron", "run", "daily", "--wait")
    assert (ran.returncode, ran.stdout) == (0, b"mail cron right\n"), ran.stderr
    runs = live.json("cron", "runs", "daily", "--json")["runs"]
    assert (runs[0]["status"], runs[0]["taskId"]) == ("succeeded", None)
    assert live.json("flow", "list", "--label", "daily", "--json")["flows"][0]["flowId"] == runs[0]["flowId"]


def test_flows_are_looked_at_without_a_gateway(live):
    flow = start(live, "brief.flow.yaml")
    stands(live, flow, lambda seen: seen["flow"]["status"] == "succeeded")
    end = time.monotonic() + PATIENCE
    while (with_one := live.json("flow", "show", flow, "--json"))["delivery"] == "pending":
        assert time.monotonic() < end
    live.run("gateway", "stop")
    without = live.json("flow", "show", flow, "--json")
    assert without == with_one
    assert live.json("flow", "list", "--json")["flows"]
    assert live.json("flow", "log", flow, "--json")["ended"] is True
    assert b"succeeded" in live.run("flow", "show", flow, "--graph").stdout
    assert live.run("gateway", "status").returncode == 3


def test_an_agent_starts_and_steers_flows_as_tool_calls(live):
    def tool(**fields):
        return live.json("tool", json.dumps({"tool": "flow", **fields}))

    started = tool(action="start", file={"text": FILE, "name": "brief.flow.yaml"}, kwargs={"tag": "agent"})
    waited = tool(action="wait", flowId=started["flowId"])
    assert (waited["met"], waited["flows"][0]["result"]) == (True, "mail agent right")
    assert tool(action="show", flowId=started["flowId"])["status"] == "succeeded"
    careful = tool(action="start", handler=f"{live.home}/release.py:careful")
    assert tool(action="wait", flowId=careful["flowId"])["attention"] == [careful["flowId"]]
    assert tool(action="cancel", flowId=careful["flowId"], timeoutMs=60_000)["status"] == "cancelled"


def test_a_quick_look_at_flows_imports_nothing_heavy(live):
    live.run("gateway", "start")
    for words in (
        ["flow"],
        ["flow", "start", f"{live.home}/brief.flow.yaml"],
        ["flow", "run", f"{live.home}/brief.flow.yaml"],
    ):
        code = (
            f"import sys; from outlast.surfaces.cli.main import run; code = run({words});"
            "print('\\n'.join(['', *sys.modules])); sys.exit(code)"
        )
        done = subprocess.run([sys.executable, "-c", code], env=live.env, capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split("\n"))
        assert "outlast.client" in loaded
        assert loaded & {*HEAVY.split(), "datetime", "apsw", "yaml", "concurrent.futures"} == set(), words
