"""Fake timers: commands that keep time are recognised, what merely contains a sleep is left alone."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.fake_timers import COMMAND_MAX, fake_timer

LATER = [
    "sleep 600; sleep 1 & make",
    "sleep 600; (sleep 1 & make)",
    "case $x in make) sleep 600; make;; esac",
    "f() { sleep 600; make; }; f",
    "function wait_a { sleep 600; make; }; wait_a",
    "sleep 600 || exit; make",
    "sleep 600; make; while true; do make; sleep 5; done",
    "stdbuf -oL -eL sleep 600; make",
    "setsid -w sleep 600; make",
    "nice -n5 sleep 600; make",
    "bash --norc -c 'sleep 600; make'",
    "bash -e -c 'sleep 600; make'",
    "names=(a b); sleep 600; make",
    "sleep 3600 && echo up",
    "sleep 600; make test",
    "sleep 600\nmake test",
    "sleep 30; make",
    "sleep 20; sleep 20; make",
    "sleep 10m && make",
    "sleep 0.5h 1s; make",
    "sleep $((60*30)) && make",
    "/bin/sleep 600; make",
    "cd /srv && sleep 600 && make",
    "echo waiting; sleep 600; echo done",
    "X=1 sleep 600; make",
    "sleep 600 > /dev/null 2>&1; make",
    "(sleep 300; make) &",
    "(sleep 300; make) & echo later",
    "{ sleep 300; make; } &",
    "sleep 300 && make &",
    "(sleep 300) && make",
    "nohup sleep 300 && make",
    "nohup sh -c 'sleep 600; make' >/dev/null 2>&1 &",
    'bash -c "sleep 600 && make"',
    "bash -lc 'sleep 600; make'",
    "bash -o pipefail -c 'sleep 600; make'",
    "bash -c $'sleep 600\\nmake'",
    "bash -c 'sleep 600'; make",
    "bash <<'EOF'\nsleep 600\nmake\nEOF",
    "bash <<< 'sleep 600; make'",
    "eval 'sleep 600; make'",
    "setsid nice -n 5 bash -c 'sleep 600; make'",
    "sudo -u me env A=1 sleep 600; make",
    "timeout -k 5 700 bash -c 'sleep 600; make'",
    "if sleep 600; then make; fi",
    "if true; then sleep 600; make; fi",
    "sleep 600; for f in *; do cp $f /x; done",
    "for i in $(seq 60); do sleep 60; done; make",
    "# first wait\nsleep 600\nmake",
]

POLL = [
    "for ((i=0; i<=5; i++)); do make; sleep 5; done",
    "while make; do sleep 5; sleep 1 & done",
    "while true; do for ((;;)); do make; done; sleep 5; done",
    "case $x in\n a) while true; do make; sleep 5; done;;\nesac",
    "case $x\nin a) while make; do sleep 5; done;; esac",
    "for i do while make; do sleep 5; done; done",
    "for i in 1 2 3 4 5 6\ndo make; sleep 60; done",
    "while make; do read x; sleep 5; done",
    "select x in a; do while make; do sleep 5; done; done",
    "while true; do bash -c 'make'; sleep 5; done",
    "while true; do curl -s localhost; sleep 5; done",
    "while true\ndo\n  make status\n  sleep 5\ndone",
    "while :; do date; sleep 3600; done",
    "while [ 1 ]; do date; sleep 60; done",
    "until curl -sf localhost:3000; do sleep 1; done",
    "until curl -sf localhost:3000; do sleep 0.5; done",
    "while ! nc -z localhost 80; do sleep 0.1; done; make",
    "while kill -0 $PID 2>/dev/null; do sleep 5; done",
    "while [[ ! -f /tmp/done && ! -f /tmp/failed ]]; do sleep $INTERVAL; done",
    "while sleep 60; do make status; done",
    "while pgrep make; do { sleep 5; }; done",
    "while true; do if make status; then break; fi; sleep 5; done",
    "while true; do for f in a b; do cat $f; sleep 5; done; done",
    "for i in $(seq 60); do curl -s localhost && break; sleep 5; done",
    "for i in $(seq 1 60); do curl -s localhost && break; sleep 5; done",
    "for i in `seq 60`; do curl -s localhost; sleep 5; done",
    "for i in {1..30}; do curl -s localhost && break || sleep 10; done",
    "for ((i=0; i<60; i++)); do curl -s localhost; sleep 5; done",
    "for ((;;)) do curl -s localhost; sleep 5; done",
    "for i in 1 2 3 4 5 6; do curl -s localhost; sleep 10; done",
    "for i in $(seq $TRIES); do curl -s localhost; sleep 2; done",
    "for i in $(seq 60); do curl -s localhost; sleep $GAP; done",
    "make & while kill -0 $!; do sleep 1; done",
    "cat x | while read -t 5 line; do echo $line; sleep 1; done",
    "(while true; do date; sleep 5; done) | tee log",
    "timeout 600 bash -c 'until make status; do sleep 5; done'",
    "watch -n 5 make status",
    "watch make status",
    "f() { while true; do date; sleep 5; done; }; f",
]

NEITHER = [
    "nohup; echo sleep",
    "nice -n; echo sleep",
    "env A=1; echo sleep",
    "nohup -x; echo sleep",
    "bash -c; echo sleep",
    "bash; echo sleep",
    "while make; do sleep infinity; done",
    "for i in $(seq 60); do make; sleep --help; done",
    "for ((i=0; i<3; i++)); do make; sleep 5; done",
    "for ((i=0; i<5; i++)); do make; sleep 5; done",
    "for i in $(seq 1 5); do make; sleep 5; done",
    "for i in $(seq 0 10 20); do make; sleep 5; done",
    "for i in $(seq 1 0 2); do make; sleep 5; done",
    "for i in $(seq 60 5); do make; sleep 5; done",
    "for i in {1..60} x; do make; sleep 5; done",
    "for; do make; sleep 5; done",
    "sleep 600 && sleep 1 & make",
    "bash > 'sleep 600; make'",
    "for f in a; do cp x; done; sleep 600; make",
    "while true; do sleep 60; done; make",
    "watch; sleep 5",
    "for ((i=0; i<60; i++)); do ((n++)); sleep 5; done",
    "while [ 1 ]; do sleep 60; done",
    "bash -c 'make'; sleep 600; make",
    "bash -c 'sleep 20; make'; sleep 20; make",
    "bash -c 'sleep 600' | make",
    "bash script.sh <<'EOF'\nsleep 600\nmake\nEOF",
    "names=(\nsleep 600\n); make",
    "ls !(sleep|x); make",
    "make",
    "",
    "sleep 5",
    "sleep 1000",
    "sleep 1000 &",
    "sleep 1000 & sleep 1000",
    "sleep 300 & echo hi",
    "setsid sleep 1000 & sleep 1000",
    "nohup sleep 1000 &",
    "sleep infinity",
    "sleep infinity; make",
    "while true; do sleep 3600; done",
    "trap '' TERM; while :; do sleep 1; done",
    "for i in $(seq 200); do sleep 1000 & done",
    "for i in $(seq 200); do (trap '' TERM; sleep 1000) & done; wait",
    "while true; do make status; sleep 1000 & wait -n; done",
    "sleep 9; make",
    "sleep 29 && make",
    "sleep 5; sleep 5; make",
    "make && sleep 600 && make status",
    "./server & sleep 60; curl localhost",
    "sleep 600 || make",
    "sleep 600 | make",
    "(sleep 600; echo quit) | make",
    "for i in $(seq 200); do echo $i; sleep 0.02; done",
    "for i in $(seq 200); do echo $i; sleep 0.02; done; exit 7",
    "for i in $(seq 100000); do echo $i; sleep 0.5; done",
    "for i in $(seq 3); do echo $i; sleep 5; done",
    "for i in 1 2 3; do echo $i; sleep 1; done",
    "for f in *.txt; do upload $f; sleep 60; done",
    "for f in a b c; do upload $f; sleep 60; done",
    'for f in "$@"; do upload $f; sleep 60; done',
    "while read -r line; do echo $line; sleep 1; done < file",
    "make | while IFS= read -r line; do echo $line; sleep 1; done",
    'echo "sleep 3600 && make"',
    "echo 'while true; do date; sleep 5; done'",
    "grep 'while.*sleep' f",
    "grep -r sleep 600 ; make",
    "echo while true; echo do; sleep 5; echo done",
    "git commit -m 'sleep 600; make' && git push",
    "# sleep 600; make\nmake",
    "make # sleep 600; make",
    "cat > script.sh <<'EOF'\nsleep 600; make\nwhile true; do date; sleep 5; done\nEOF",
    "cat <<EOF | tee x\nwhile true; do date; sleep 5; done\nEOF\nmake",
    "python -c 'import time; time.sleep(600)'",
    "npm run watch",
    "tsc --watch && sleep 600",
    "man watch",
    "watch --help",
    "command -v sleep && make",
    "f() { sleep 5; }; f",
    "names=(sleep 600); make",
    "case $x in sleep) make;; esac",
    "case sleep in (sleep) sleep 5;; *) make;; esac",
    "sleep 60",
    "while true; do date; sleep 5",
    "done; sleep 5; make",
    "while true; do date; done; grep sleep f",
    "bash -c 'sleep 1000'",
    "bash script.sh sleep 600",
    "sleep $DELAY; make",
    "sleep --help; make",
]


@pytest.mark.parametrize("command", LATER)
def test_a_sleep_before_the_work_is_a_timer(command: str) -> None:
    advice = fake_timer(command)
    assert advice is not None
    assert advice.kind == "later"
    assert "outlast cron add --in" in advice.message


@pytest.mark.parametrize("command", POLL)
def test_a_loop_that_looks_and_sleeps_is_a_poll(command: str) -> None:
    advice = fake_timer(command)
    assert advice is not None
    assert advice.kind == "poll"
    assert "outlast process wait" in advice.message


@pytest.mark.parametrize("command", NEITHER)
def test_the_rest_is_left_alone(command: str) -> None:
    assert fake_timer(command) is None


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (["bash", "-c", "sleep 600 && make"], "later"),
        (["timeout", "60", "sh", "-c", "until make; do sleep 5; done"], "poll"),
        (["watch", "-n", "5", "make"], "poll"),
        (["sleep", "3600"], None),
        (["echo", "sleep 3600 && make"], None),
        (["while", "true", ";", "do", "date", ";", "sleep", "5", ";", "done"], None),
        ([], None),
    ],
)
def test_an_argument_list_has_no_shell_but_the_one_it_names(argv: list[str], kind: str | None) -> None:
    advice = fake_timer(None, argv)
    assert (advice and advice.kind) == kind


def test_the_advice_names_the_time() -> None:
    later = fake_timer("sleep 3600 && make")
    poll = fake_timer("while true; do make; sleep 90; done")
    assert later and "1h 00m" in later.message and "--in 3600s" in later.message
    assert poll and "--every 90s" in poll.message


def test_what_linux_cannot_start_is_not_read() -> None:
    assert fake_timer("sleep 600; make" + " " * COMMAND_MAX) is None


@pytest.mark.parametrize(
    "piece",
    [
        "sleep 1;",
        "(",
        "(sleep 1;",
        "while sleep 1; do ",
        "for i in ",
        "{ ",
        "bash -c 'sleep 1';",
        "eval ",
        "sleep 1 & ",
        "nice ",
        "if ",
    ],
)
def test_hostile_commands_take_linear_time(piece: str) -> None:
    fake_timer(("sleep 1;" + piece * COMMAND_MAX)[:COMMAND_MAX])


def test_shells_in_shells_are_read_to_a_depth() -> None:
    command = "sleep 600; make"
    for _ in range(4):
        command = f"bash -c {shlex.quote(command)}"
    assert fake_timer(command) is not None
    assert fake_timer("eval " * 20_000 + "sleep 600") is None


WORDS = [
    "sleep", "while", "until", "for", "do", "done", "if", "then", "fi", "{", "}", "(", ")", ";", "&", "&&", "|",
    "||", "600", "x", "in", "case", "esac", "'a'", "<<", "EOF", "\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS)))
def test_any_order_of_words_is_read(words: list[str]) -> None:
    advice = fake_timer(" ".join(["sleep", *words]))
    assert advice is None or advice.kind in ("later", "poll")
