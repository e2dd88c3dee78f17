"""The ledger from the command line, with a real gateway and real commands."""

import json
import os
import select
import signal
import subprocess
import sys

import pytest
from cli_live import PATIENCE, Live, Terminal, give, lines_of
from test_cli_live import HEAVY, read_until

REPORT = f"{sys.executable} -m outlast tasks report"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("tasks", numbered=True)
    os.chmod(home, 0o700)
    live = Live(str(home))
    yield live
    live.close()


def record(live, *words):
    """Put a command on record and return the task's id."""
    return live.json("run", "--json", *words)["taskId"]


def show(live, task):
    return live.json("tasks", "show", task, "--json")


@pytest.fixture
def gate(live):
    """A task that runs until a line is written to it: its id, and how to let it end."""
    task = record(live, "-i", "--allow-duplicate", "read line; echo got $line; exit ${line:-0}")

    def open_gate(line="0"):
        until(live, task, "began")
        done = live.run("process", "write", show(live, task)["sessionId"], f"{line}\\n")
        assert done.returncode == 0, done.stderr

    yield task, open_gate
    live.run("tasks", "cancel", task)


def until(live, task, verb):
    """Return when something has happened to a task, however late it is looked at."""
    process = live.start("tasks", "events", task, "-f", "--json")
    try:
        if any(json.loads(line)["verb"] == verb for line in lines_of(process.stdout)):
            return
    finally:
        process.kill()
        _, errors = process.communicate(timeout=PATIENCE)
    raise AssertionError(f"{verb} did not happen to {task}: {errors}")


# run and wait


@pytest.mark.parametrize("words", [["run"], ["exec", "--detach"]])
def test_a_recorded_command_runs_and_is_on_record(live, words):
    done = live.run(*words, "--label", "nightly", "--", "sh", "-c", "echo out; exit 7")
    task = done.stdout.decode().strip()
    assert done.returncode == 0
    assert live.run("tasks", "wait", task).returncode == 1
    row = show(live, task[:-2])
    assert (row["status"], row["exitCode"], row["label"], row["summary"]) == ("failed", 7, "nightly", "out")
    assert live.run("tasks", "log", task).stdout == b"out\n"
    assert [row["taskId"] for row in live.json("tasks", "--label", "nightly", "--limit", "1", "--json")["tasks"]] == [
        task
    ]
    verbs = [event["verb"] for event in live.json("tasks", "events", task, "--json")["events"]]
    moves = [verb for verb in verbs if verb != "delivered"]
    assert (moves[0], moves[-1]) == ("create", "fail")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["exit 5"], 5),
        (["kill -SEGV $$"], 139),
        (["--timeout", "100ms", "sleep 60"], 124),
        (["--", "no-such-program-anywhere"], 127),
        (["true"], 0),
    ],
)
def test_run_that_waits_has_the_commands_code(live, words, code):
    done = live.run("run", "--wait", *words)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.startswith(b"outlast: task t"), done.stderr


def test_ctrl_c_leaves_the_task_alone(live, gate, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = live.start("run", "--wait", f"cat {fifo}; exit 4")
    task = read_until(process.stderr, b"\n").decode().split()[-1]
    until(live, task, "began")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert f"task {task} goes on".encode() in process.stderr.read()
    give(fifo)
    assert live.run("tasks", "wait", task).returncode == 1
    assert show(live, task)["exitCode"] == 4


@pytest.mark.parametrize(("line", "code"), [("0", 0), ("3", 1)])
def test_wait_survives_a_crash_and_a_restart_of_the_gateway(live, gate, line, code):
    task, open_gate = gate
    process = live.start("tasks", "wait", task[:-1])
    until(live, task, "began")
    live.kill_gateway()
    live.run("gateway", "start")
    assert live.run("gateway", "restart").returncode == 0
    open_gate(line)
    assert process.wait(PATIENCE) == code
    assert task.encode() in process.stderr.read()


def test_wait_gives_up_in_time_and_takes_the_first_of_several(live, gate):
    task, _ = gate
    assert live.run("tasks", "wait", task, "--timeout", "50ms").returncode == 124
    other = record(live, "true")
    waited = live.json("tasks", "wait", task, other, "--any", "--json")
    assert [row["status"] for row in waited["tasks"]] == ["running", "succeeded"]


def test_a_key_names_work_that_is_open_once(live, gate):
    words = ("run", "--json", "--dedupe", "K", "-i", "read line")
    first, second = live.json(*words), live.json(*words)
    assert (first["taskId"], first["existing"], second["existing"]) == (second["taskId"], False, True)
    live.run("tasks", "cancel", first["taskId"])
    third = live.json(*words)
    assert third["taskId"] != first["taskId"]
    live.run("tasks", "cancel", third["taskId"])


# what is on record and what is not


def test_who_stays_leaves_no_record_and_who_goes_leaves_one(live):
    """A foreground command is nobody's task, until its follower is gone."""
    news = live.start("tasks", "watch", "--json")
    read_until(news.stderr, b"watching")
    staying = live.start("exec", "echo staying; read x", stdin=subprocess.DEVNULL)
    assert staying.wait(PATIENCE) == 1
    leaving = live.start("exec", "-i", "echo leaving; read x", stdin=subprocess.PIPE)
    read_until(leaving.stdout, b"leaving\n")
    leaving.kill()
    leaving.communicate()
    found = None
    try:
        for line in lines_of(news.stdout):
            found = json.loads(line)["task"]
            assert "staying" not in found["command"]
            if "leaving" in found["command"]:
                break
    finally:
        news.kill()
        news.communicate(timeout=PATIENCE)
    assert found["notify"] == "silent"
    live.run("tasks", "cancel", found["taskId"])


# queues, following


@pytest.fixture
def paused(live):
    """A queue that takes nothing until its limit is lifted."""
    assert live.run("tasks", "queues", "--set", "night=0").returncode == 0
    yield "night"
    live.run("tasks", "queues", "--set", "night=none")


def test_a_queued_task_is_followed_from_before_its_start(live, paused):
    task = record(live, "--queue", paused, "echo one; echo two; exit 3")
    assert show(live, task)["status"] == "queued"
    assert b"queued" in live.run("status").stdout
    log = live.start("tasks", "log", "-f", task)
    history = live.start("tasks", "events", "-f", task)
    read_until(history.stdout, b"create")
    assert live.run("tasks", "queues", "--set", "night=none").returncode == 0
    out, err = log.communicate(timeout=PATIENCE)
    assert (log.returncode, out) == (0, b"one\ntwo\n")
    assert b"failed: exit code 3" in err
    out, _ = history.communicate(timeout=PATIENCE)
    assert [line.split()[2] for line in out.splitlines()][-1] == b"fail"


def test_a_log_is_followed_from_try_to_try(live, tmp_path):
    marker = tmp_path / "marker"
    line = f"if [ -e {marker} ]; then echo second; else touch {marker}; echo first; exit 1; fi"
    task = record(live, "--retry", "2", "--retry-delay", "0", line)
    done = live.run("tasks", "log", "-f", task)
    assert live.run("tasks", "wait", task).returncode == 0
    assert show(live, task)["attempt"] == 2
    assert done.returncode == 0
    # Whoever looks after the first try is over sees the second only; nobody sees one twice.
    assert done.stdout in (b"first\nsecond\n", b"second\n")


def test_a_queued_task_leaves_its_queue_when_cancelled(live, paused):
    tasks = [record(live, "--queue", paused, "--priority", str(i), f"echo {i}") for i in (1, 2)]
    done = live.json("tasks", "cancel", *tasks, "nosuchtask", "--reason", "changed", "--json", code=3)
    assert [row["status"] for row in done["tasks"]] == ["cancelled", "cancelled"]
    assert [error["lookup"] for error in done["errors"]] == ["nosuchtask"]
    assert live.run("run", "--wait", "--queue", paused, "--deadline", "50ms", "true").returncode == 124


# acts


def test_a_running_task_is_cancelled_with_its_tree(live, gate):
    task, _ = gate
    until(live, task, "began")
    assert live.json("tasks", "cancel", task, "--json")["status"] == "cancelled"
    assert live.run("tasks", "cancel", task).returncode == 4
    assert live.run("tasks", "wait", task).returncode == 1


def test_an_ended_task_is_run_again_and_put_out_of_sight(live, gate):
    task = record(live, "exit 6")
    live.run("tasks", "wait", task)
    again = live.run("tasks", "retry", task).stdout.decode().strip()
    assert again != task
    live.run("tasks", "wait", again)
    assert show(live, again)["exitCode"] == 6
    assert live.run("tasks", "notify", again, "failures_only").stdout == f"{again} failures_only\n".encode()
    assert live.run("tasks", "dismiss", task, again).returncode == 0
    listed = {row["taskId"] for row in live.json("tasks", "--all", "--json")["tasks"]}
    assert listed & {task, again} == set()
    dismissed = {row["taskId"] for row in live.json("tasks", "--dismissed", "--json")["tasks"]}
    assert dismissed >= {task, again}
    assert live.run("tasks", "dismiss", gate[0]).returncode == 4
    exported = [json.loads(line)["taskId"] for line in live.run("tasks", "export").stdout.splitlines()]
    assert len(exported) == len(set(exported))
    assert set(exported) >= {task, again, gate[0]}


def test_a_command_reports_its_own_progress(live):
    task = record(live, f"{REPORT} progress 40 --message 'half\x1b way' && exit 2")
    live.run("tasks", "wait", task)
    row = show(live, task)
    assert (row["progress"], row["progressMessage"]) == (40, "half\x1b way")
    assert b"\x1b" not in live.run("tasks", "show", task).stdout


def test_outside_work_reports_in(live):
    started = live.run("tasks", "report", "start", "--label", "ci", "--run-id", "build-77", "the build")
    task = started.stdout.decode().strip()
    env = {"OUTLAST_TASK_ID": task}
    assert live.run("tasks", "report", "progress", "70%", env=env).returncode == 0
    assert show(live, "build-77")["progress"] == 70
    child = record(live, "--parent", task, "true")
    assert [row["taskId"] for row in live.json("tasks", "children", task, "--json")["tasks"]] == [child]
    assert live.run("tasks", "report", "done", "--exit-code", "3", "--summary", "s", env=env).returncode == 0
    assert (show(live, task)["status"], show(live, task)["exitCode"]) == ("failed", 3)
    late = live.run("tasks", "report", "progress", "99", env=env)
    assert (late.returncode, b"had failed already" in late.stderr) == (0, True)


def test_a_stranger_sees_nothing(live):
    task = live.json("run", "--json", "--as", "agent:a", "true")["taskId"]
    live.run("tasks", "wait", task)
    assert live.run("tasks", "show", task, "--as", "agent:b").returncode == 3
    assert live.json("tasks", "--as", "agent:b", "--json")["tasks"] == []
    assert [row["taskId"] for row in live.json("tasks", "--owner", "agent:a", "--json")["tasks"]] == [task]
    assert live.run("tasks", "show", task, "--as", "agent:a").returncode == 0


def test_several_that_fit_are_listed(live):
    record(live, "true"), record(live, "true # too")
    done = live.run("tasks", "show", "t")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) > 2


# the board


def test_the_board_shows_what_happens(live, gate):
    task, open_gate = gate
    until(live, task, "began")
    board = Terminal(live, "tasks", "watch", cols=120, rows=30)
    board.until(b"RUNNING (1)")
    board.until(task.encode())
    assert live.run("tasks", "report", "progress", "50", "--task", task).returncode == 0
    board.until(b" 50%")
    open_gate("5")
    board.until(b"RUNNING (0)")
    board.until(b"failed     5")
    live.kill_gateway()
    other = record(live, "echo after; exit 9")
    board.until(b"failed     9")
    board.type(b"q")
    assert board.wait() == 0
    assert live.run("tasks", "wait", other).returncode == 1


def test_without_a_terminal_the_board_is_a_log(live):
    board = live.start("tasks", "watch")
    read_until(board.stderr, b"watching")
    first = record(live, "true")
    assert any(first.encode() in line for line in lines_of(board.stdout))
    board.send_signal(signal.SIGINT)
    assert board.wait(PATIENCE) == 130


# without a gateway


def supervisor_of(live, task):
    """A descriptor of the process that will record the end of a task's command."""
    session = show(live, task)["sessionId"]
    pid = live.json("process", "poll", session, "--since", "0", "--json")["pid"]
    with open(f"/proc/{pid}/stat") as file:
        return os.pidfd_open(int(file.read().rpartition(")")[2].split()[1]))


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """A home with some history whose gateway was killed while a command ran that has ended since."""
    home = tmp_path_factory.mktemp("dark", numbered=True)
    os.chmod(home, 0o700)
    live = Live(str(home))
    fifo = home / "fifo"
    os.mkfifo(fifo)
    live.run("run", "--wait", "--label", "early", "echo kept; exit 3")
    live.task = record(live, "--label", "late", f"cat {fifo}; exit 6")
    until(live, live.task, "began")
    supervisor = supervisor_of(live, live.task)
    live.kill_gateway()
    give(fifo, b"to the end\n")
    assert select.select([supervisor], [], [], PATIENCE)[0]
    os.close(supervisor)
    yield live
    live.close()


def test_looking_tells_the_truth_without_a_gateway(dark):
    """The command has ended since the gateway was killed; nobody but the keeper has seen it."""
    task = dark.task
    assert (show(dark, task)["status"], show(dark, task)["exitCode"]) == ("failed", 6)
    assert {row["label"]: row["exitCode"] for row in dark.json("tasks", "--json")["tasks"]} == {"early": 3, "late": 6}
    assert dark.run("tasks", "log", task).stdout == b"to the end\n"
    assert dark.run("tasks", "wait", task).returncode == 1
    assert len(dark.run("explain", task).stdout.splitlines()) == 5
    assert len(dark.run("tasks", "export", "--events").stdout.splitlines()) == 2
    assert dark.json("tasks", "children", task, "--json")["tasks"] == []
    for words in ("tasks audit", "tasks stats", "tasks queues", "tasks maintenance", "tasks events " + task):
        assert dark.run(*words.split()).returncode in (0, 1), words
    assert dark.run("tasks", "show", "nosuchtask").returncode == 3
    assert b"Tasks: " in dark.run("status").stdout
    env = {"_OUTLAST_COMPLETE": "bash_complete", "COMP_CWORD": "3", "COMP_WORDS": f"outlast tasks show {task[:6]}"}
    assert f"plain,{task}".encode() in dark.run(env=env).stdout.split()
    assert dark.run("gateway", "status").returncode == 3


def test_a_backup_is_whole_with_and_without_a_gateway(dark, live, tmp_path):
    for home in (dark, live):
        copy = tmp_path / f"copy{home is dark}.db"
        assert home.run("backup", copy.name, cwd=tmp_path).returncode == 0
        assert copy.stat().st_size > 0
        assert home.run("backup", copy.name, cwd=tmp_path).returncode != 0
    assert dark.run("gateway", "status").returncode == 3


def test_the_doctor_finds_a_damaged_ledger(own):
    """It is told plainly, with the mend, and the exit code says so too."""
    own.run("run", "--wait", "true")
    own.run("gateway", "stop")
    assert own.json("doctor", "--json")["ok"]
    path = os.path.join(own.home, "ledger.db")
    with open(path, "r+b") as file:
        file.write(b"not a database at all")
    [check] = [row for row in own.json("doctor", "--json", code=1)["checks"] if row["name"] == "store"]
    assert check["state"] == "fail"
    assert check["fix"]
    os.unlink(path)


def test_a_quick_look_imports_nothing_heavy(live):
    live.run("gateway", "start")
    for words in (["tasks"], ["run", "true"], ["tasks", "report", "start", "x"]):
        code = (
            f"import sys; from outlast.surfaces.cli.main import run; code = run({words});"
            "print('\\n'.join(['', *sys.modules])); sys.exit(code)"
        )
        done = subprocess.run([sys.executable, "-c", code], env=live.env, capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split("\n"))
        assert "outlast.client" in loaded
        assert loaded & {*HEAVY.split(), "datetime", "apsw", "importlib.metadata", "concurrent.futures"} == set()
