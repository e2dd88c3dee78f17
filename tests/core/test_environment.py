"""Environment: what may be overridden, what a child finds, which shell runs it and how."""

import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.environment import check_overrides, child_environment, choose_shell, shell_argv
from outlast.core.errors import BadInput, Refused

INJECTING = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "BASH_ENV",
    "ENV",
    "BASH_FUNC_ls",
    "PATH",
    "IFS",
    "PS4",
    "PROMPT_COMMAND",
    "SHELLOPTS",
    "GCONV_PATH",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "PERL5LIB",
    "PERL5OPT",
    "RUBYOPT",
    "RUBYLIB",
    "NODE_OPTIONS",
    "NODE_PATH",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "CLASSPATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_EXTERNAL_DIFF",
    "GIT_CONFIG_COUNT",
    "npm_config_script_shell",
]


@pytest.mark.parametrize("name", INJECTING)
def test_a_remote_caller_cannot_inject_code(name: str) -> None:
    with pytest.raises(Refused) as caught:
        check_overrides({"CI": "1", name: "x"}, remote=True)
    assert caught.value.code == "env_refused"
    assert name in caught.value.message
    assert check_overrides({name: "x"}, remote=False) == {name: "x"}


@pytest.mark.parametrize(
    "name",
    [
        "CI",
        "EDITOR",
        "PAGER",
        "LANG",
        "HOME",
        "PYTHONUNBUFFERED",
        "GIT_AUTHOR_NAME",
        "_x9",
        "MY_PATH",
        "ENVIRONMENT",
    ],
)
def test_a_remote_caller_may_set_the_rest(name: str) -> None:
    assert check_overrides({name: "x=\ny"}, remote=True) == {name: "x=\ny"}


@pytest.mark.parametrize("name", ["OUTLAST_SESSION_ID", "OUTLAST_TASK_ID", "OUTLAST_TOKEN"])
@pytest.mark.parametrize("remote", [True, False])
def test_nobody_sets_what_outlast_sets(name: str, remote: bool) -> None:
    with pytest.raises(Refused) as caught:
        check_overrides({name: "x"}, remote)
    assert caught.value.code == "env_refused"


def test_only_a_local_caller_points_a_child_at_another_gateway() -> None:
    assert check_overrides({"OUTLAST_HOME": "/x"}, remote=False) == {"OUTLAST_HOME": "/x"}
    with pytest.raises(Refused):
        check_overrides({"OUTLAST_HOME": "/x"}, remote=True)


@pytest.mark.parametrize("name", ["", "A=B", "A\0", "="])
@pytest.mark.parametrize("remote", [True, False])
def test_impossible_names(name: str, remote: bool) -> None:
    with pytest.raises(BadInput) as caught:
        check_overrides({name: "x"}, remote)
    assert caught.value.code == "bad_env"


@pytest.mark.parametrize("name", ["BASH_FUNC_ls%%", "1A", "A-B", "Ä", "A B", "A\n", "٣"])
def test_odd_names_are_for_local_callers_only(name: str) -> None:
    assert check_overrides({name: "x"}, remote=False) == {name: "x"}
    with pytest.raises(BadInput):
        check_overrides({name: "x"}, remote=True)


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_impossible_values(value: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_overrides({"A": value}, remote=False)
    assert caught.value.code == "bad_env"


def test_octets_that_are_not_utf8_pass() -> None:
    assert check_overrides({"A": "\udcff"}, remote=True) == {"A": "\udcff"}


@pytest.mark.parametrize("env", [{"A": 1}, {"A": None}, {1: "x"}])
def test_values_must_be_strings(env: dict[str, str]) -> None:
    with pytest.raises(BadInput) as caught:
        check_overrides(env, remote=True)
    assert caught.value.code == "bad_env"


BASE = {
    "HOME": "/home/me",
    "BASH_ENV": "/rc",
    "ENV": "/rc",
    "OUTLAST_TOKEN": "secret",
    "OUTLAST_GATEWAY_TOKEN": "secret",
    "OUTLAST_SOMETHING_NEW": "secret",
    "OUTLAST_HOME": "/o",
    "OUTLAST_CONFIG": "/o.toml",
    "OUTLAST_EXEC_MODE": "deny",
    "OUTLAST_SESSION_ID": "outer",
    "OUTLAST_TASK_ID": "outer",
}


def test_a_child_finds_the_gateway_and_its_ids_but_no_secret() -> None:
    assert child_environment(BASE, {"CI": "1"}, "s1", None) == {
        "HOME": "/home/me",
        "OUTLAST_HOME": "/o",
        "OUTLAST_CONFIG": "/o.toml",
        "OUTLAST_EXEC_MODE": "deny",
        "CI": "1",
        "OUTLAST_SESSION_ID": "s1",
    }
    assert BASE["BASH_ENV"] == "/rc"


def test_a_recorded_child_gets_its_task_id() -> None:
    assert child_environment({}, {}, "s1", "t1") == {"OUTLAST_SESSION_ID": "s1", "OUTLAST_TASK_ID": "t1"}


@pytest.mark.parametrize(
    ("base", "requester", "acts_for"),
    [
        ({}, None, None),
        ({}, "me", None),
        ({}, "agent:a:main", "agent:a:main"),
        ({"OUTLAST_REQUESTER": "agent:a:main"}, None, None),
        ({"OUTLAST_REQUESTER": "agent:a:main"}, "agent:b:main", "agent:b:main"),
        ({"OUTLAST_REQUESTER": "me"}, "you", "you"),
    ],
)
def test_a_child_acts_for_its_requester_where_that_is_an_agent_or_the_caller_acts_for_somebody(
    base: dict[str, str], requester: str | None, acts_for: str | None
) -> None:
    child = child_environment(base, {}, "s1", None, requester=requester)
    assert child.get("OUTLAST_REQUESTER") == acts_for


def test_overrides_win_over_what_is_inherited_but_not_over_the_ids() -> None:
    child = child_environment(
        {"A": "1"}, {"A": "2", "OUTLAST_SESSION_ID": "forged", "OUTLAST_TASK_ID": "x"}, "s1", None
    )
    assert child == {"A": "2", "OUTLAST_SESSION_ID": "s1"}


def test_rc_files_come_only_by_explicit_wish() -> None:
    assert child_environment({}, {"BASH_ENV": "/mine"}, "s1", None)["BASH_ENV"] == "/mine"
    inherited = child_environment(BASE, {}, "s1", None, shell=False)
    assert (inherited["BASH_ENV"], inherited["ENV"]) == ("/rc", "/rc")


@given(st.dictionaries(st.sampled_from([*BASE, "OUTLAST_X", "OUTLAST_KEY", "A"]), st.text()), st.text(min_size=1))
def test_no_secret_of_ours_is_ever_inherited(base: dict[str, str], session_id: str) -> None:
    child = child_environment(base, {}, session_id, None)
    ours = {name for name in child if name.startswith("OUTLAST_")}
    assert ours <= {"OUTLAST_HOME", "OUTLAST_CONFIG", "OUTLAST_EXEC_MODE", "OUTLAST_SESSION_ID"}
    assert child["OUTLAST_SESSION_ID"] == session_id


@pytest.mark.parametrize(
    "shell",
    [
        "/bin/bash",
        "/usr/bin/zsh",
        "/bin/sh",
        "/bin/dash",
        "/bin/ksh",
        "/bin/mksh",
        "/bin/ash",
        "/bin/busybox",
        "/opt/bash-5.2",
    ],
)
def test_a_sane_shell_is_kept(shell: str) -> None:
    assert choose_shell(shell, lambda path: path == shell) == shell


@pytest.mark.parametrize(
    "shell",
    [None, "", "bash", "./bash", "/usr/bin/fish", "/usr/sbin/nologin", "/bin/false", "/bin/csh", "/bin/tcsh",
     "/usr/bin/xonsh", "/usr/bin/nu", "/usr/bin/pwsh", "/bin/", "/usr/bin/python3", "/bin/rbash"],
)  # fmt: skip
def test_any_other_shell_is_not(shell: str | None) -> None:
    assert choose_shell(shell, lambda path: True) == "/bin/bash"
    assert choose_shell(shell, lambda path: False) == "/bin/sh"


def test_a_shell_that_is_not_there_is_not_used() -> None:
    assert choose_shell("/usr/bin/zsh", lambda path: path == "/bin/bash") == "/bin/bash"


@pytest.mark.parametrize(
    ("shell", "flags"),
    [
        ("/bin/bash", ("--noprofile", "--norc", "-c")),
        ("/opt/bash-5.2", ("--noprofile", "--norc", "-c")),
        ("/bin/zsh", ("-f", "-c")),
        ("/bin/busybox", ("sh", "-c")),
        ("/bin/sh", ("-c",)),
        ("/bin/dash", ("-c",)),
    ],
)
def test_shells_run_without_rc_files(shell: str, flags: tuple[str, ...]) -> None:
    assert shell_argv(shell, "make; x") == (shell, *flags, "make; x")


@pytest.mark.parametrize("shell", [s for s in ("/bin/bash", "/bin/dash", "/bin/zsh", "/bin/sh") if shutil.which(s)])
@pytest.mark.parametrize("command", ["-l", "+x", "-c 'echo no'"])
def test_a_command_that_looks_like_an_option_is_still_a_command(shell: str, command: str) -> None:
    ran = subprocess.run(shell_argv(shell, command), capture_output=True, check=False, env={"PATH": os.defpath})
    assert ran.returncode == 127
    assert b"not found" in ran.stderr
