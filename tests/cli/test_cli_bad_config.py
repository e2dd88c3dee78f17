"""A config file that is wrong: what runs goes on, and whoever looks at it or ends it is not locked out."""

import os

import pytest

BROKEN = [
    ("this is not TOML", "is not TOML"),
    ("[exec]\nmode = 'perhaps'\n", "exec.mode"),
    ("[agents.a]\nbackend = 'acp'\ncommand = ['a']\ncolour = 'red'\n", "colour"),
]


def write(own, text: str) -> None:
    with open(os.path.join(own.home, "config.toml"), "w") as file:
        file.write(text)


@pytest.fixture
def mended(own):
    """The home, whose file is in order again when the test is over."""
    yield own
    write(own, "")


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_with_a_gateway_that_runs_every_command_works_and_says_so_in_one_line(mended, text, said):
    own = mended
    session = own.background("sleep", "600")
    write(own, text)
    for words in (
        ("tasks", "list"), ("process", "list"), ("gateway", "status"), ("gateway", "start"), ("run", "true"),
        ("agents", "list"), ("status",), ("exec", "true"), ("process", "kill", session),
    ):  # fmt: skip
        done = own.run(*words)
        assert done.returncode == 0, (words, done.stderr)
        [line] = [line for line in done.stderr.decode().splitlines() if "until that is mended" in line]
        assert said in line and "config.toml" in line
    for words in (("tasks", "list", "--json"), ("gateway", "status", "--json"), ("config", "path")):
        done = own.run(*words)
        assert (done.returncode, done.stderr) == (0, b""), words
    for words in (("config", "show"), ("gateway", "restart")):
        assert own.run(*words).returncode == 2, words
    assert own.run("gateway", "status").returncode == 0  # the restart has not begun with a stop
    own.background("sleep", "600")
    assert own.run("gateway", "stop", "--kill-sessions").returncode == 0


def test_without_a_gateway_what_needs_none_works_and_what_needs_the_settings_says_what_is_wrong(mended):
    own = mended
    write(own, BROKEN[0][0])
    assert own.run("config", "path").stdout.decode() == os.path.join(own.home, "config.toml") + "\n"
    assert own.run("gateway", "stop").returncode == 0
    down = own.run("gateway", "status")
    assert (down.returncode, b"down" in down.stdout, b"is not TOML" in down.stderr) == (3, True, True)
    for words in (("gateway", "start"), ("tasks", "list"), ("exec", "true"), ("config", "show"), ("run", "true")):
        done = own.run(*words)
        assert (done.returncode, done.stderr.count(b"is not TOML")) == (2, 1), words
    assert not os.path.exists(os.path.join(own.home, "gateway.log"))  # none was tried


@pytest.mark.parametrize("env", [{}, {"OUTLAST_EXEC_MODE": "perhaps"}])
def test_the_doctor_says_it_once_and_looks_at_the_rest(mended, env):
    own = mended
    assert own.run("gateway", "start").returncode == 0
    write(own, "" if env else BROKEN[0][0])
    checks = {one["name"]: one for one in own.json("doctor", "--json", code=1, env=env)["checks"]}
    assert [name for name, one in checks.items() if one["state"] == "fail"] == ["config"]
    assert {"store", "gateway", "keeper", "strays"} <= set(checks)
    assert checks["gateway"]["detail"].startswith("pid ")
