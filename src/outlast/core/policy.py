"""Who may run what.

Modes, from open to closed: ``full`` runs everything, ``allowlist`` what a pattern of the operator matches,
``ask`` what somebody approves, ``deny`` nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, assert_never

from outlast.core.errors import Refused

Mode = Literal["full", "allowlist", "ask", "deny"]
MODES: tuple[Mode, ...] = ("full", "allowlist", "ask", "deny")
"""Every mode, each stricter than the one before it."""

# With one of these a string can run more than the one program it begins with, so no wildcard may vouch for
# it. "$" as a whole, since ${x@P} runs code too; parentheses for zsh, whose =(…) and glob qualifiers do.
_COMPOUND = re.compile(r"[;&|`$()<>\n\r]")


class Allowed(NamedTuple):
    """The command may run; ``pattern`` is the allowlist entry that says so, None in mode ``full``."""

    pattern: str | None = None


class NeedsApproval(NamedTuple):
    """The command may run once somebody has approved it."""

    requester: str


class Denied(NamedTuple):
    """The command may not run: the code, the sentence and the next act of the error to raise."""

    code: Literal["exec_denied", "not_allowed"]
    reason: str
    hint: str


def mode_for(requester: str, mode: Mode, requester_modes: Mapping[str, Mode]) -> Mode:
    """Return the mode that holds for a requester.

    ``requester_modes`` maps globs to modes. The exact name wins, then the longest matching glob; of two as
    long the stricter; without a match the general ``mode`` holds.
    """
    if requester in requester_modes:
        return requester_modes[requester]
    matching = [glob for glob in requester_modes if fnmatchcase(requester, glob)]
    if not matching:
        return mode
    return requester_modes[max(matching, key=lambda glob: (len(glob), MODES.index(requester_modes[glob])))]


def decide(
    mode: Mode,
    allow: Sequence[str],
    requester_modes: Mapping[str, Mode],
    requester: str,
    *,
    command: str | None = None,
    argv: Sequence[str] | None = None,
) -> Allowed | NeedsApproval | Denied:
    """Say whether a requester may run a shell ``command`` or an ``argv``; one of the two is given.

    An allowlist pattern is a case-sensitive glob over the whole line, as written: ``npm run *`` allows
    neither a bare ``npm`` nor ``/tmp/npm run x``. An argument list is matched as the line that would be
    typed for it, with quotes where they are needed. A shell string that joins, redirects or expands is
    allowed only by an entry equal to it to the letter.
    """
    present = mode_for(requester, mode, requester_modes)
    match present:
        case "full":
            return Allowed()
        case "allowlist":
            return _by_allowlist(allow, command, argv)
        case "ask":
            return NeedsApproval(requester)
        case "deny":
            return Denied(
                "exec_denied",
                f"{requester} may not run commands here",
                "ask the operator: exec.mode and exec.requesters in the config file decide this",
            )
        case _:
            assert_never(present)


def _by_allowlist(allow: Sequence[str], command: str | None, argv: Sequence[str] | None) -> Allowed | Denied:
    line = shlex.join(argv or ()) if command is None else command
    compound = command is not None and _COMPOUND.search(command)
    for pattern in allow:
        if pattern == line or (not compound and fnmatchcase(line, pattern)):
            return Allowed(pattern)
    if compound:
        return Denied(
            "not_allowed",
            f"the allowlist has no entry equal to this command, and its {compound[0]!r} rules out wildcards",
            "send it as argv without shell syntax, or ask the operator to add the whole line to exec.allow",
        )
    return Denied(
        "not_allowed",
        "no entry of the allowlist matches this command",
        "ask the operator to add a pattern to exec.allow (`outlast config show` names the file)",
    )


def require(
    mode: Mode,
    allow: Sequence[str],
    requester_modes: Mapping[str, Mode],
    requester: str,
    *,
    command: str | None = None,
    argv: Sequence[str] | None = None,
) -> Allowed:
    """Do as `decide`, but raise `Refused` with its code and hint where it denies, or where nobody can be asked."""
    return demand(decide(mode, allow, requester_modes, requester, command=command, argv=argv))


def demand(answer: Allowed | NeedsApproval | Denied) -> Allowed:
    """Raise `Refused` unless an answer of `decide` is that the command may run now."""
    match answer:
        case Denied():
            raise Refused(answer.reason, code=answer.code, hint=answer.hint)
        case NeedsApproval():
            raise Refused(
                f"commands of {answer.requester} need an approval each, which this one cannot wait for",
                code="approval_needed",
                hint="run it by itself (outlast exec --ask), or let the operator do it in a mode that does not ask",
            )
        case Allowed():
            return answer
        case _:
            assert_never(answer)
