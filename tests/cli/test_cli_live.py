"""The command line and a real gateway, end to end."""

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest
from cli_live import PATIENCE, Live, Terminal, exit_code_of, give

COUNT = "for i in $(seq 200); do echo $i; sleep 0.02; done; exit 7"
# A shell that is not interactive takes PS1 out of the environment, so the variable goes on the line itself.
SHELL = "PS1='$ ' bash --norc --noprofile -i"
DRAWN = b"\x1b[?25h"  # the cursor is shown when the screen is drawn
NUMBERS = [str(i) for i in range(1, 201)]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("live", numbered=True)
    os.chmod(home, 0o700)
    live = Live(str(home))
    yield live
    live.close()


def read_until(stream, text):
    """Read a pipe until a text has appeared in it; return what was read."""
    seen = b""
    while text not in seen:
        assert select.select([stream], [], [], PATIENCE)[0], f"{text!r} did not come: {seen!r}"
        data = os.read(stream.fileno(), 65536)
        assert data, f"{text!r} did not come before the end: {seen!r}"
        seen += data
    return seen


def gate(path):
    """A shell word that waits for `open_gate`. No loop: that would be taken for a timer, with advice against it."""
    os.mkfifo(path / "gate")
    return f"read _ < {path}/gate"


def open_gate(path):
    """Let go on what waits at the gate, or comes to it."""
    give(path / "gate")


# exec, in the foreground


def test_output_is_byte_true_and_apart(live):
    done = live.run("exec", r"printf 'a\000\377\033[1m\r\n'; printf 'e\376' >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"a\x00\xff\x1b[1m\r\n", b"e\xfe")


def test_several_words_are_a_program_and_its_arguments(live):
    done = live.run("exec", "--", "printf", "%s|", "a b", "$HOME", "-x")
    assert (done.returncode, done.stdout) == (0, b"a b|$HOME|-x|")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["kill -SEGV $$"], 139),
        (["--timeout", "300ms", "sleep 60"], 124),
        (["--", "no-such-program-anywhere"], 127),
        (["exit 255"], 255),
    ],
)
def test_exit_codes(live, words, code):
    assert live.run("exec", *words).returncode == code


def test_the_command_runs_here_with_our_environment(live, tmp_path):
    done = live.run("exec", 'pwd; echo "$MINE $GIVEN"', cwd=tmp_path, env={"MINE": "a"})
    assert done.stdout.decode().split("\n")[:2] == [os.path.realpath(tmp_path), "a "]
    done = live.run("exec", "-e", "GIVEN=x=y", "-C", "..", 'pwd; echo "$GIVEN"', cwd=tmp_path)
    assert done.stdout.decode().split("\n")[:2] == [os.path.realpath(tmp_path.parent), "x=y"]


def test_input_is_forwarded_byte_for_byte(live):
    data = os.urandom(300_000)
    done = live.run("exec", "-i", "cat", stdin=data)
    assert (done.returncode, done.stdout == data) == (0, True)
    assert live.run("exec", "--stdin-text", "typed", "cat").stdout == b"typed"
    assert live.run("exec", "cat", stdin=b"not for it").stdout == b""


def test_a_background_child_does_not_hold_us(live):
    done = live.run("exec", "sleep 300 & echo hi")
    assert (done.returncode, done.stdout) == (0, b"hi\n")


def test_ctrl_c_goes_to_the_command(live):
    process = live.start("exec", "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done")
    read_until(process.stdout, b"ready\n")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (9, b"caught\n")


# A shell forgets a signal that comes while it is at its trap for another.
HEARING = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
os.write(1, b"ready\\n")
while signal.sigwait({signal.SIGINT}):
    os.write(1, b"heard\\n")
"""


def test_ctrl_c_three_times_ends_the_tree(live):
    process = live.start("exec", shlex.join([sys.executable, "-S", "-c", HEARING]))
    read_until(process.stdout, b"ready\n")
    said, end = b"", time.monotonic() + PATIENCE
    while b"ending the command" not in said:  # once more after that would end outlast itself
        assert time.monotonic() < end, said
        process.send_signal(signal.SIGINT)
        came, _, _ = select.select([process.stdout, process.stderr], [], [], PATIENCE)
        said += b"".join(os.read(stream.fileno(), 65536) for stream in came)  # what became of this one
    assert process.wait(PATIENCE) in (143, 137)
    process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_the_command_goes_on_without_us(live, tmp_path, number, code):
    process = live.start("exec", f"echo ready{number}; {gate(tmp_path)}; echo done")
    read_until(process.stdout, b"ready")
    process.send_signal(number)
    process.wait(PATIENCE)
    assert process.returncode == code
    [row] = [r for r in live.json("process", "list", "--json")["sessions"] if f"ready{number};" in r["command"]]
    if number != signal.SIGKILL:
        assert row["sessionId"] in process.stderr.read().decode()
    open_gate(tmp_path)
    assert live.run("process", "wait", row["sessionId"]).returncode == 0
    assert live.run("process", "log", row["sessionId"]).stdout.endswith(b"done\n")


def test_a_reader_that_leaves_is_no_traceback(live):
    process = live.start("exec", "echo first; sleep 0.3; yes | head -c 1000000; sleep 60")
    read_until(process.stdout, b"first\n")
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    err = process.stderr.read().decode()
    assert "Traceback" not in err
    live.run("process", "kill", re.search(r"session (\S+) goes on", err)[1])


@pytest.mark.parametrize(("where", "options"), [("", []), (" >&2", []), ("", ["-t"])])
def test_the_gateway_may_die_in_the_middle(live, tmp_path, where, options):
    wait = f"[ $i -ne 150 ] || {gate(tmp_path)}"
    line = f"for i in $(seq 200); do echo $i{where}; sleep 0.02; {wait}; done; exit 7"
    process = live.start("exec", *options, line)
    stream = process.stderr if where else process.stdout
    seen = read_until(stream, b"20")
    first = live.kill_gateway()
    seen += read_until(stream, b"120")
    assert live.kill_gateway() != first
    open_gate(tmp_path)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 7
    assert (seen + (err if where else out)).decode().split() == NUMBERS


def test_the_gateway_may_be_restarted_in_the_middle(live):
    process = live.start("exec", COUNT)
    seen = read_until(process.stdout, b"20\n")
    assert live.run("gateway", "restart").returncode == 0
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, (seen + out).decode().split()) == (7, NUMBERS)


# exec that returns, and process


def test_a_command_that_outlives_its_window(live, tmp_path):
    done = live.run("exec", "--yield", "10s", f"echo begun; {gate(tmp_path)}; echo over; exit 3")
    assert done.returncode == 0
    session = re.search(rb"session (\S+), pid", done.stdout)[1].decode()
    assert done.stdout.startswith(b"begun\nstill running")
    open_gate(tmp_path)
    waited = live.json("process", "wait", session, "--json")
    assert (waited["met"], waited["results"][0]["exitCode"]) == (True, 3)
    poll = live.json("process", "poll", session, "--json")
    assert (poll["output"], poll["status"], poll["exitCode"]) == ("over\n", "failed", 3)
    assert live.run("exec", "--yield", "60s", "echo quick; exit 5").returncode == 5


def test_the_background_prints_an_id_to_use(live):
    session = live.run("exec", "-b", "echo ready; sleep 60").stdout.decode().strip()
    assert live.run("process", "wait", session, "--pattern", "rea.y", "--timeout", "60s").returncode == 0
    assert live.run("process", "wait", session[:12], "--quiet", "50ms").returncode == 0
    assert live.run("process", "wait", session, "--timeout", "100ms").returncode == 124
    killed = live.json("process", "kill", session, "--json")
    assert killed["status"] == "cancelled"
    assert {row["name"] for row in killed["ended"]} >= {"sleep"}
    assert live.run("process", "wait", session, "--pattern", "never").returncode == 1
    assert live.run("process", "write", session, "x").returncode == 4
    assert live.run("process", "remove", session).returncode == 0
    assert live.run("process", "poll", session).returncode == 3


def test_the_same_command_starts_once(live):
    words = ["exec", "-b", "--json", "sleep 61"]
    first, second = live.json(*words), live.json(*words)
    assert (first["sessionId"], second["existing"]) == (second["sessionId"], True)
    third = live.json("exec", "-b", "--json", "--allow-duplicate", "sleep 61")
    assert third["sessionId"] != first["sessionId"]
    for result in (first, third):
        live.run("process", "kill", result["sessionId"])


def test_input_in_the_background(live):
    session = live.background("-i", 'read line; echo "got $line"; cat; exit 4')
    assert live.run("process", "write", session, r"one\n").returncode == 0
    assert live.run("process", "write", session, "-", "--eof", stdin=b"two\x00\xff").returncode == 0
    assert live.run("process", "wait", session).returncode == 0
    assert live.run("process", "log", session, "--bytes", "0:", "--raw").stdout == b"got one\ntwo\x00\xff"


def test_a_log_is_followed_through_a_crash_of_the_gateway(live):
    session = live.background(COUNT + " # log")
    process = live.start("process", "log", "-f", session)
    seen = read_until(process.stdout, b"20\n")
    live.kill_gateway()
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, (seen + out).decode().split()) == (0, NUMBERS)


def test_terminal_sessions_have_keys_and_a_screen(live):
    session = live.background("-t", "--cols", "40", "--rows", "5", SHELL)
    assert live.run("process", "wait", session, "--pattern", r"\$ ").returncode == 0
    assert live.run("process", "submit", session, "stty size; echo d''one").returncode == 0
    assert live.run("process", "wait", session, "--pattern", "(?m)^done").returncode == 0
    screen = live.run("process", "screen", session).stdout.decode()
    assert "5 40" in screen
    assert live.run("process", "resize", session, "50", "6").returncode == 0
    live.run("process", "send-keys", session, "echo t''wo; sleep 60", "Enter")
    assert live.run("process", "wait", session, "--pattern", "two").returncode == 0
    live.run("process", "send-keys", session, "C-c")
    live.run("process", "submit", session, "stty size; exit 8")
    waited = live.json("process", "wait", session, "--json")
    assert waited["results"][0]["exitCode"] == 8
    assert "6 50" in live.run("process", "log", session).stdout.decode()


def test_requesters_see_their_own(live):
    session = live.json("exec", "-b", "--json", "--as", "agent:a", "sleep 62")["sessionId"]
    assert live.run("process", "poll", session, "--as", "agent:b").returncode == 3
    assert live.run("process", "poll", session, "--as", "agent:a").returncode == 0
    assert live.run("process", "kill", session).returncode == 0


def test_the_tool_form(live):
    call = json.dumps({"tool": "exec", "command": "echo $MINE; pwd", "yieldMs": 10_000})
    result = live.json("tool", call, cwd="/tmp", env={"MINE": "x"})
    assert (result["status"], result["output"]) == ("succeeded", "x\n/tmp\n")
    call = {"tool": "process", "action": "poll", "sessionId": result["sessionId"], "since": 0}
    assert live.json("tool", stdin=json.dumps(call).encode())["output"] == "x\n/tmp\n"
    assert live.json("tool", '{"tool":"process","action":"poll","sessionId":"zzzz"}', code=3)["error"]


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("process poll nosuchsession", 3, "not_found"),
        ("process wait nosuchsession --pattern (", 2, "bad_pattern"),
        ("exec -C /no/such/place ls", 2, "bad_workdir"),
        ("exec --ready-pattern ( ls", 2, "bad_pattern"),
    ],
)
def test_bad_input_is_an_error_at_once(live, line, code, word):
    first, *rest = line.split()
    assert (
        live.json(first, "--json", *rest, code=code)["error"]["code"] == word
        if first == "exec"
        else (live.json(*line.split(), "--json", code=code)["error"]["code"] == word)
    )


# terminals


@pytest.fixture
def shell(live):
    """A shell in a terminal session."""
    session = live.background("-t", "--allow-duplicate", SHELL)
    assert live.run("process", "wait", session, "--pattern", r"\$ ").returncode == 0
    yield session
    live.run("process", "kill", session, "--grace", "0")


def test_attach_types_draws_resizes_and_detaches(live, shell):
    live.run("process", "submit", shell, "echo earlier")
    live.run("process", "wait", shell, "--pattern", r"[\r\n]earlier")
    terminal = Terminal(live, "process", "attach", shell, cols=90, rows=30)
    before = termios.tcgetattr(terminal.master)
    terminal.until(b"earlier")
    terminal.type(b"stty size; echo o''k\r")
    assert b"30 90" in terminal.until(b"\nok")
    terminal.type(b"until stty size | grep '35 100'; do sleep 0.05; done; echo fol''lowed\r")
    terminal.resize(100, 35)
    terminal.until(b"followed")
    terminal.type(b"\x1d")
    terminal.until(f"session {shell} goes on".encode())
    assert termios.tcgetattr(terminal.master) == before
    assert terminal.wait() == 0
    assert live.json("process", "poll", shell, "--json")["status"] == "running"


def test_attach_ends_with_the_session(live, shell):
    terminal = Terminal(live, "process", "attach", shell)
    terminal.until(DRAWN)
    terminal.type(b"exit 6\r")
    terminal.until(b"exit code 6")
    assert terminal.wait() == 6


def test_attach_survives_a_crash_of_the_gateway(live, shell):
    terminal = Terminal(live, "process", "attach", shell)
    terminal.until(DRAWN)
    live.kill_gateway()
    # What is typed while there is no gateway may be lost, and is said to be: so look for a new one first.
    live.run("gateway", "start")
    terminal.type(b"echo st''ill\r")
    terminal.until(b"still")
    terminal.type(b"\x1d")
    assert terminal.wait() == 0


def test_attach_puts_the_terminal_back_when_it_is_ended(live, shell):
    terminal = Terminal(live, "process", "attach", shell)
    terminal.until(DRAWN)
    raw = termios.tcgetattr(terminal.master)
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.until(b"goes on")
    assert termios.tcgetattr(terminal.master)[3] & termios.ICANON
    assert not raw[3] & termios.ICANON
    assert terminal.wait() == 143


def test_attach_to_a_session_without_a_terminal(live):
    session = live.background("-i", "echo begun; while read line; do echo got $line; done; sleep 60")
    terminal = Terminal(live, "process", "attach", session)
    terminal.until(b"begun")
    terminal.type(b"hello\n")
    terminal.until(b"got hello")
    terminal.type(b"\x1d")
    terminal.until(b"goes on")
    assert terminal.wait() == 0
    live.run("process", "kill", session)


def test_exec_in_a_terminal_is_a_terminal(live):
    terminal = Terminal(live, "exec", "-t", "stty size; read line; echo got $line; exit 5", cols=77, rows=11)
    terminal.until(b"11 77")
    terminal.type(b"words\r")
    terminal.until(b"got words")
    assert terminal.wait() == 5


def test_a_closed_terminal_only_detaches(live):
    terminal = Terminal(live, "exec", "echo closed-terminal; sleep 0.5; echo over")
    terminal.until(b"closed-terminal")
    os.close(terminal.master)
    exit_code_of(terminal.pid)
    rows = live.json("process", "list", "--json")["sessions"]
    [session] = [row["sessionId"] for row in rows if row["command"].startswith("echo closed-terminal")]
    assert live.run("process", "wait", session).returncode == 0
    assert live.run("process", "log", session).stdout == b"closed-terminal\nover\n"


# the gateway


def test_two_first_commands_start_one_gateway(own):
    processes = [own.start("process", "list", "--json") for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, json.loads(out)["sessions"]) == (0, []), err
    with open(os.path.join(own.home, "gateway.log")) as file:
        assert len(re.findall(r"ready: pid", file.read())) == 1


def test_nothing_is_started_by_a_look(own):
    assert own.json("status", "--json")["running"] is False
    assert own.run("gateway", "status").returncode == 3
    assert own.json("doctor", "--json")["ok"] is True
    assert own.run("config", "show").returncode == 0
    assert not os.path.exists(os.path.join(own.home, "gateway.log"))


def test_the_gateway_is_started_stopped_and_restarted(own):
    first = own.json("gateway", "start", "--json")["gateway"]["pid"]
    assert b"already running" in own.run("gateway", "start").stdout
    assert own.json("gateway", "status", "--json")["gateway"]["pid"] == first
    session = own.background("sleep 63")
    second = own.json("gateway", "restart", "--json")["gateway"]["pid"]
    assert second != first
    stopped = own.json("gateway", "stop", "--json")
    assert (stopped["stopping"], stopped["sessionsLeft"]) == (True, 1)
    assert own.run("gateway", "status").returncode == 3
    assert own.json("process", "poll", session, "--json")["status"] == "running"
    assert own.json("gateway", "stop", "--kill-sessions", "--json")["killed"] == [session]


def test_a_crash_leaves_nothing_in_the_way(own):
    own.json("gateway", "start", "--json")
    own.kill_gateway()
    assert own.json("process", "list", "--json")["sessions"] == []


def test_doctor_finds_a_living_gateway_and_an_open_home(own):
    own.json("gateway", "start", "--json")
    checks = {check["name"]: check["state"] for check in own.json("doctor", "--json")["checks"]}
    assert set(checks.values()) <= {"ok", "warn"}
    os.chmod(own.home, 0o755)
    checks = {check["name"]: check for check in own.json("doctor", "--json", code=1)["checks"]}
    assert checks["home"]["fix"] == f"chmod 700 {own.home}"
    os.chmod(own.home, 0o700)


def test_doctor_finds_a_bad_config(own):
    with open(os.path.join(own.home, "config.toml"), "w") as file:
        file.write("[exec]\nmode = 'perhaps'\n")
    checks = {check["name"]: check for check in own.json("doctor", "--json", code=1)["checks"]}
    assert "exec.mode" in checks["config"]["detail"]
    assert own.run("process", "list").returncode == 2
    os.unlink(os.path.join(own.home, "config.toml"))


def test_sessions_are_completed(live):
    session = live.background("sleep 64")
    env = {"_OUTLAST_COMPLETE": "bash_complete", "COMP_CWORD": "3"}
    done = live.run(env={**env, "COMP_WORDS": f"outlast process poll {session[:4]}"})
    assert f"plain,{session}" in done.stdout.decode().split()
    live.run("process", "kill", session)


HEAVY = "asyncio msgspec starlette rich uvicorn dataclasses inspect ssl http.client email logging click"


def test_a_quick_command_imports_nothing_heavy(live):
    live.run("gateway", "start")
    code = (
        "import sys; from outlast.surfaces.cli.main import run; code = run(['process', 'list']);"
        "print('\\n'.join(['', *sys.modules])); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=live.env, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("\n"))
    assert "outlast.client" in loaded
    assert loaded & {*HEAVY.split(), "importlib.metadata", "concurrent.futures"} == set()


def test_many_commands_at_once(live):
    results = []

    def one(i):
        results.append(live.run("exec", f"echo {i}; exit {i}"))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    assert sorted((done.returncode, done.stdout) for done in results) == [(i, b"%d\n" % i) for i in range(8)]
