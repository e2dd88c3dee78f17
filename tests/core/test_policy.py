"""Exec policy: which mode holds for whom, and an allowlist that shell syntax cannot widen."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.errors import Refused
from outlast.core.policy import MODES, Allowed, Denied, Mode, NeedsApproval, decide, mode_for, require

ALLOW = ["npm run *", "make", "/usr/bin/git status", "pytest -k ?", "make test | tee log", "echo [ab]"]


def by_allowlist(command: str | None = None, argv: list[str] | None = None) -> Allowed | NeedsApproval | Denied:
    return decide("allowlist", ALLOW, {}, "me", command=command, argv=argv)


def test_the_modes_are_ordered_from_open_to_closed() -> None:
    assert get_args(Mode) == MODES == ("full", "allowlist", "ask", "deny")


@pytest.mark.parametrize(
    ("mode", "code"),
    [("full", None), ("allowlist", "not_allowed"), ("ask", "approval_needed"), ("deny", "exec_denied")],
)
def test_each_mode(mode: Mode, code: str | None) -> None:
    answer = decide(mode, [], {}, "me", command="make")
    if mode == "ask":
        assert answer == NeedsApproval("me")
    else:
        assert (answer.code if isinstance(answer, Denied) else None) == code
    if code is None:
        assert require(mode, [], {}, "me", command="make") == Allowed()
        return
    with pytest.raises(Refused) as caught:
        require(mode, [], {}, "me", command="make")
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize(
    ("requester", "expected"),
    [
        ("me", "full"),
        ("agent:one:main", "allowlist"),
        ("agent:one:subagent:7", "deny"),
        ("agent:two:main", "ask"),
        ("agent:[x]", "full"),
        ("Agent:one:main", "full"),
        ("ab", "deny"),
    ],
)
def test_the_most_specific_entry_holds(requester: str, expected: Mode) -> None:
    modes: dict[str, Mode] = {
        "agent:*": "allowlist",
        "agent:*:subagent:*": "deny",
        "agent:two:main": "ask",
        "agent:[x]": "full",
        "a?": "full",
        "?b": "deny",
    }
    assert mode_for(requester, "full", modes) == expected


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        ("npm run build", "npm run *"),
        ("npm run build --fast 'a b'", "npm run *"),
        ("make", "make"),
        ("/usr/bin/git status", "/usr/bin/git status"),
        ("pytest -k x", "pytest -k ?"),
        ("echo a", "echo [ab]"),
        ("make test | tee log", "make test | tee log"),
        ("echo [ab]", "echo [ab]"),
    ],
)
def test_what_a_pattern_matches_may_run(command: str, pattern: str) -> None:
    assert by_allowlist(command) == Allowed(pattern)


@pytest.mark.parametrize(
    "command",
    ["", "npm", "npm install", "/tmp/npm run x", "./npm run x", " npm run x", "NPM run x", "make all", "X=1 make",
     "git status", "sudo npm run x", "pytest -k xy"],
)  # fmt: skip
def test_what_no_pattern_matches_may_not(command: str) -> None:
    assert isinstance(by_allowlist(command), Denied)


@pytest.mark.parametrize(
    "tail",
    ["; rm x", " & rm x", " && rm x", " | rm x", " `rm x`", " $(rm x)", " ${x@P}", " > x", " < x", "\nrm x", " =(rm x)",
     " <(rm x)", " *(e:'rm x':)", " 'quoted ; too'", "\rrm x"],
)  # fmt: skip
def test_no_wildcard_vouches_for_shell_syntax(tail: str) -> None:
    answer = by_allowlist(f"npm run x{tail}")
    assert isinstance(answer, Denied)
    assert "argv" in answer.hint
    assert isinstance(decide("allowlist", ["*"], {}, "me", command=f"a{tail}"), Denied)
    assert decide("allowlist", [f"a{tail}"], {}, "me", command=f"a{tail}") == Allowed(f"a{tail}")


def test_an_argument_list_is_matched_as_the_line_one_would_type() -> None:
    assert by_allowlist(argv=["npm", "run", "a; rm x"]) == Allowed("npm run *")
    assert isinstance(by_allowlist(argv=["npm run", "x"]), Denied)
    assert isinstance(by_allowlist(argv=["npm run x"]), Denied)
    assert isinstance(by_allowlist(argv=[]), Denied)


@given(st.text(alphabet="ab *?[];|&$()<>`\n"), st.lists(st.text(alphabet="ab *?["), max_size=4))
def test_a_compound_string_needs_an_equal_entry(command: str, allow: list[str]) -> None:
    answer = decide("allowlist", allow, {}, "me", command=command)
    if set(command) & set(";|&$()<>`\n"):
        assert isinstance(answer, Denied)


def test_a_requesters_own_mode_beats_the_general_one() -> None:
    modes: dict[str, Mode] = {"agent:*": "deny"}
    assert isinstance(decide("full", [], modes, "agent:x", command="make"), Denied)
    assert decide("full", [], modes, "me", command="make") == Allowed()
