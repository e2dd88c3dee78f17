"""The quick reader and click, held to the same values; the tables, held to what they promise."""

import importlib
import os
import shlex
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.core.errors import BadInput, OutlastError
from outlast.surfaces.cli import face
from outlast.surfaces.cli.parse import parse
from outlast.surfaces.cli.verbs import GROUPS, VERBS, split

VALUES = ["x", "5", "-5", "0", "1s", "2h30m", "A=b", "A=", "keep", "kill", "all", "running", "stdout", "bash"]
VALUES += ["list", "failed,lost", "2d", "2026-11-23", "40%", "default=3", "a=none", "done_only", ",", "=1"]
VALUES += ["1:2", ":", "--", "-", "", "é", "-q", "--json", "--yield=1s", "--title=a=b", "-C", "-b", "80"]


def by_click(words):
    try:
        read = face.read(list(words))
    except OutlastError as error:
        return error
    return read if isinstance(read, int) else (read.verb, read.values)


@st.composite
def lines(draw):
    verb = draw(st.sampled_from(VERBS))
    flags = [flag for option in verb.options for flag in option.flags]
    words = st.sampled_from([*flags, *VALUES])
    return [*verb.words, *draw(st.lists(words, max_size=6))]


@settings(max_examples=300, deadline=None)
@given(lines())
def test_what_the_quick_reader_understands_click_understands_alike(words):
    parsed = parse(words)
    if parsed is not None:
        assert by_click(words) == (parsed.verb, parsed.values)


GOOD = [
    "exec ls",
    "exec -- npm run build",
    "exec --yield 1s -b --env A=1 -e B=2 --label x ls -la --json",
    "exec --yield=1s --title=a=b ls",
    "exec -t --cols 100 --rows 30 vim",
    "process list",
    "process list --status running --limit 5 --as me --json",
    "process logs abcd -f",
    "process log abcd --offset -20",
    "process wait a b --pattern re --timeout 5m --all",
    "process write abcd -- -n",
    "process send-keys abcd C-c Enter",
    "process resize abcd 80 24",
    "tool -",
    "gateway run --ready-fd 5",
    "completion zsh",
    "tasks",
    "tasks --status failed,lost --status running --since 2d --json",
    "tasks list --since 2026-11-23T10:00 --limit 5 --cursor abc --all",
    "tasks wait a b --any --timeout 5m",
    "tasks cancel a b --reason no",
    "tasks notify a silent",
    "tasks report start building",
    "tasks report progress 40 --message half --task a",
    "tasks report progress 40%",
    "tasks report done --exit-code 3",
    "tasks queues --set a=3 --set b=none",
    "tasks export --events -o file",
    "run --queue q --priority -5 --retry 3 --retry-delay 1s --deadline 2h make all",
    "exec --detach --label nightly -- ./build.sh",
    "explain a",
    "backup file",
    "cron",
    "cron --all --json",
    "cron add --name backup --every 15m --tz Europe/London --misfire all:3 --jitter 5m --retry 3 -- ./backup.sh -v",
    "cron add --in 20m --event text --to agent:a:main --delete-after-run",
    "cron edit backup --cron @daily --revision 3 -- make -j2 all",
    "cron next backup -n 10",
    "cron runs backup --before 1796000000.25",
    "cron run backup --wait",
    "cron rm backup",
    "cron import - --dry-run --prefix web-",
    "conversations",
    "conversations events agent:a:main -f --ack --timeout 10m",
    "conversations ack agent:a:main --upto 7",
    "wake",
    "wake add agent:a:main --command {conversation}",
    "wake add agent:a:main -- tell --file -",
    "wake list agent:a:main --json",
    "notifications --failed",
    "notifications retry 7",
    "system event hello --to agent:a:main --mode next-heartbeat --key k",
    "flow",
    "flow --status blocked,failed --json",
    "flow run release.py:release 1.2 --arg tag=family -a b=c --deadline 2h --detach",
    "flow run brief.flow.yaml --json-args {} --env A=b",
    "flow run release.py:release -- -1",
    "flow start release --concurrency-key k --concurrency-max 2 --retry 3",
    "flow check a.flow.yaml b.json",
    "flow show f0abc",
    "flow show f0abc --graph",
    "flow show --graph f0abc",
    "flow show --graph=mermaid f0abc --json",
    "flow watch f0abc --timeout 5m",
    "flow log f0abc -f --after 7",
    "flow signal f0abc go true --key k",
    "flow cancel f0abc f0def --reason no --force",
    "flow retry f0abc --from build#2",
    "flow resume f0abc --revision 3 --state {}",
    "flow fork f0abc --from build",
    "flow create deploy --goal ship --state {}",
    "flow link f0abc t0def --revision 1",
    "flow wait f0abc --revision 1 --for review --until 2026-12-01T10:00Z",
    "flow finish f0abc --revision 1 --result 7",
    "flow fail f0abc --revision 1 --error no",
    "flow request-cancel f0abc --revision 1",
]


@pytest.mark.parametrize("line", GOOD)
def test_a_right_line_never_needs_click(line):
    words = line.split()
    parsed = parse(words)
    assert parsed is not None
    assert by_click(words) == (parsed.verb, parsed.values)


BAD = [
    ("exec --yield 5M ls", "--yield: '5M' is not a span of time"),
    ("exec --cols 0 ls", "0 is not in the range 1 to 1000"),
    ("exec --env A ls", "'A' is not of the form NAME=VALUE"),
    ("exec --leftovers maybe ls", "'maybe' is not one of keep, kill"),
    ("exec --yeild 1s ls", "no such option '--yeild'"),
    ("process poll", "missing argument 'SESSION'"),
    ("process poll a b", "unexpected extra argument"),
    ("process poll a --since 1_0", "'1_0' is not a whole number"),
    ("process poll a --since ٣", "is not a whole number"),
    ("process log a --bytes 5", "'5' is not of the form START:END"),
    ("process pol a", "Did you mean 'poll'?"),
    ("proces list", "Did you mean 'process'?"),
    ("process list --limt 5", "--limit"),
    ("tasks --status done", "'done' is not one of queued, running"),
    ("tasks list --status failed,,lost", "'' is not one of"),
    ("tasks list --since yesterday", "'yesterday' is neither a span (2d, 90m) nor a moment"),
    ("tasks --limit 0", "0 is not in the range 1 to 1000"),
    ("tasks shw a", "Did you mean 'show'?"),
    ("tasks 01abc", "no such command '01abc'"),
    ("tasks show", "missing argument 'TASK'"),
    ("tasks wait", "missing argument 'TASK...'"),
    ("tasks notify a loud", "'loud' is not one of done_only"),
    ("tasks report progres 5", "Did you mean 'progress'?"),
    ("tasks report progress 101", "'101' is not a whole number from 0 to 100"),
    ("tasks report done --exit-code 256", "256 is not in the range 0 to 255"),
    ("tasks queues --set a", "'a' is not of the form NAME=N"),
    ("run --retry -1 ls", "-1 is not in the range 0 to 999"),
    ("exec --detach --notify never ls", "'never' is not one of"),
]


@pytest.mark.parametrize(("line", "words"), BAD)
def test_a_wrong_line_gets_a_sentence(line, words):
    assert parse(line.split()) is None
    error = by_click(line.split())
    assert isinstance(error, BadInput)
    assert words in error.message
    assert error.hint


def test_an_empty_name_is_no_task():
    assert parse(["tasks", "show", ""]) is None
    assert isinstance(by_click(["tasks", "show", " "]), BadInput)


def test_the_group_alone_is_its_list():
    for words in (["tasks"], ["tasks", "--json"], ["tasks", "--status", "failed"]):
        quick, slow = parse(words), face.read(list(words))
        assert quick.verb.words == slow.verb.words == ("tasks", "list")
        assert quick.values == slow.values


def test_joined_short_options_are_understood():
    read = face.read(["exec", "-bt", "-C/tmp", "ls"])
    assert (read.values["background"], read.values["pty"], read.values["workdir"]) == (True, True, "/tmp")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["exec", "--help"], ["process", "-h"]])
def test_help_ends_well(words, capsys):
    assert face.read(words) == 0
    assert capsys.readouterr().out


def test_help_lists_every_command_with_its_line(capsys):
    for words in ([], *(name.split() for name in GROUPS)):
        face.read([*words, "--help"])
        shown = " ".join(capsys.readouterr().out.split())
        for verb in VERBS:
            if verb.words[:-1] == tuple(words):
                assert f"{verb.words[-1]} {verb.help}" in shown


@pytest.mark.parametrize("words", [[], ["process"], ["gateway"], ["tasks", "report"]])
def test_half_a_command_shows_help_and_is_an_error(words, capsys):
    assert face.read(words) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: " ".join(verb.words))
def test_every_command_can_be_run_and_speaks_json(verb):
    module, _, name = verb.run.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert "--json" in verb.flags
    assert split(list(verb.words)) == (verb, [])


def test_the_commands_are_the_promised_ones():
    actions = "list poll log wait write send-keys paste submit screen resize attach signal kill clear remove"
    gateway = "run start stop restart status"
    expected = {("process", action) for action in actions.split()}
    expected |= {("gateway", action) for action in gateway.split()}
    expected |= {("config", "show"), ("config", "path")}
    tasks = "list show events children log wait watch cancel retry dismiss notify audit maintenance stats queues export"
    expected |= {("tasks", action) for action in tasks.split()}
    expected |= {("tasks", "report", action) for action in ("start", "progress", "done")}
    cron = "add list show next runs edit pause resume run remove import export"
    expected |= {("cron", action) for action in cron.split()}
    expected |= {("conversations", action) for action in ("list", "show", "events", "ack")}
    expected |= {("wake", action) for action in ("add", "list", "test", "remove")}
    expected |= {("notifications", action) for action in ("list", "retry", "dismiss")}
    expected |= {("system", "event")}
    expected |= {("heartbeat", action) for action in ["status", "run", "pause", "resume", "history"]}
    flow = "run start check schema list show watch log signal cancel retry resume fork worker"
    flow += " create link wait finish fail request-cancel"
    expected |= {("flow", action) for action in flow.split()}
    expected |= {("approvals", action) for action in ("list", "show", "approve", "reject", "link")}
    expected |= {("agents", action) for action in ("list", "show", "add", "remove", "check")}
    expected |= {("agent", "run"), ("conversations", "transcript")}
    expected |= {("subagents", action) for action in ["spawn", "list", "show", "log", "steer", "wait", "cancel"]}
    words = "exec run tool status explain backup doctor completion version"
    expected |= {(word,) for word in words.split()}
    assert {verb.words for verb in VERBS} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_us(shell):
    assert "_OUTLAST_COMPLETE" in face.source(shell)


@pytest.mark.parametrize(
    ("line", "after", "offered"),
    [
        ("outlast wake li", "", ["list"]), ("outlast tasks list --status failed,lo", "", ["failed,lost"]),
        ("outlast agent run a x --conversation agent:co", "", ["coder:main"]),
        ("outlast conversations transcript a", " -f", ["agent:coder:main"]),
        ("outlast conversations transcript --json agent:coder:", "", ["main"]),
        ("outlast cron add --to=agent:c", "", ["coder:main"]), ("outlast cron add --agent=c", "", ["coder"]),
    ],
)  # fmt: skip
def test_bash_completes_what_has_colons_in_it(tmp_path, line, after, offered):
    """A real bash, as it stands when somebody has pressed Tab at the end of ``line``."""
    home = tmp_path / "home"
    home.mkdir(0o700)
    (home / "config.toml").write_text('[agents.coder]\nbackend = "acp"\ncommand = ["x"]\n')
    program = tmp_path / "outlast"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m outlast "$@"\n')
    program.chmod(0o700)
    script = f'{face.source("bash")}\n_outlast_completion outlast x y\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    env = {**os.environ, "OUTLAST_HOME": str(home), "PATH": f"{tmp_path}:{os.environ['PATH']}",
           "COMP_LINE": line + after, "COMP_POINT": str(len(line))}  # fmt: skip
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == offered


def test_commands_and_choices_are_completed(monkeypatch, capsys):
    def offered(line):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
        assert face.complete("bash_complete") == 0
        return [row.partition(",")[2] for row in capsys.readouterr().out.split()]

    assert offered("outlast gat") == ["gateway"]
    assert offered("outlast process se") == ["send-keys"]
    assert offered("outlast exec --leftovers k") == ["keep", "kill"]
    assert offered("outlast completion z") == ["zsh"]
    assert offered("outlast tasks rep") == ["report"]
    assert offered("outlast tasks report d") == ["done"]
    assert "--status" in offered("outlast tasks --st")
    assert offered("outlast tasks list --status fa") == ["failed"]
    assert offered("outlast tasks notify x sil") == ["silent"]
    assert offered("outlast flow req") == ["request-cancel"]
    assert offered("outlast flow list --mode man") == ["managed"]
    assert "show" in offered("outlast tasks ")
