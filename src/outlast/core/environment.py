"""What a child finds in its environment, which shell runs a command, and what a caller may not set.

A remote caller who could name a loader's or an interpreter's hook would run code of their own inside a
program the operator trusts, whatever the allowlist says. Such names are refused as overrides; local callers
own the machine anyway and may set them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from outlast.core.errors import BadInput, Refused

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_INJECTION_PREFIXES = (
    "LD_", "DYLD_", "BASH_FUNC_", "GIT_SSH", "GIT_CONFIG", "CORECLR_", "COR_", "npm_config_", "NPM_CONFIG_",
)  # fmt: skip
# PATH is among them: it decides which program a name on the allowlist means.
_INJECTION_NAMES = frozenset((
    "PATH", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "ZDOTDIR", "FPATH",
    "CDPATH", "GCONV_PATH", "LOCPATH", "NLSPATH", "GLIBC_TUNABLES", "HOSTALIASES", "RESOLV_HOST_CONF",
    "TERMINFO", "TERMINFO_DIRS", "TERMCAP", "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES",
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE",
    "PYTHONBREAKPOINT", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONPYCACHEPREFIX",
    "PERLLIB", "PERL5LIB", "PERL5OPT", "PERL5DB", "PERL5SHELL",
    "RUBYOPT", "RUBYLIB", "RUBYSHELL", "GEM_HOME", "GEM_PATH", "BUNDLE_GEMFILE",
    "NODE_OPTIONS", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE", "PHPRC", "PHP_INI_SCAN_DIR",
    "LUA_INIT", "LUA_PATH", "LUA_CPATH", "TCLLIBPATH", "GUILE_LOAD_PATH", "AWKPATH", "AWKLIBPATH",
    "R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER", "R_LIBS",
    "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "MAVEN_OPTS", "GRADLE_OPTS",
    "DOTNET_STARTUP_HOOKS", "DOTNET_ADDITIONAL_DEPS", "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS",
    "GOFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "MAKEFLAGS", "GNUMAKEFLAGS", "MAKEFILES",
    "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_ASKPASS", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR",
    "SSH_ASKPASS", "SUDO_ASKPASS", "LESSOPEN", "LESSCLOSE",
))  # fmt: skip

_OURS_PREFIX = "OUTLAST_"
_SESSION_ID = "OUTLAST_SESSION_ID"
_TASK_ID = "OUTLAST_TASK_ID"
REQUESTER = "OUTLAST_REQUESTER"
"""For whom the calls are made that a command makes: an agent's turn has the key of its conversation there."""
_SET_BY_US = frozenset((_SESSION_ID, _TASK_ID, "OUTLAST_TOKEN"))
# What a child needs to reach the same gateway under the same rules. Everything else of ours stays behind,
# so that a name added later is a secret until somebody puts it here.
_OURS_KEPT = frozenset(("OUTLAST_HOME", "OUTLAST_CONFIG", REQUESTER))
_OURS_KEPT_PREFIXES = ("OUTLAST_EXEC_", "OUTLAST_SESSIONS_", "OUTLAST_GATEWAY_")
_OF_AGENTS = "agent:"
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL")

_SHELLS = frozenset(("bash", "zsh", "sh", "dash", "ash", "ksh", "ksh93", "mksh", "yash", "busybox"))
_VERSION = re.compile(r"-[0-9][0-9.]*$")
_FLAGS = {"bash": ("--noprofile", "--norc"), "zsh": ("-f",), "busybox": ("sh",)}


def check_overrides(env: Mapping[str, str], remote: bool) -> dict[str, str]:
    """Return the caller's environment overrides as a dict, or say what is wrong with them.

    Raises `BadInput` (``bad_env``) for what no environment can hold, and `Refused` (``env_refused``) for
    names that outlast sets itself and, for a remote caller, for all ``OUTLAST_*`` names and names that
    inject code.
    """
    for name, value in env.items():
        _check_possible(name, value, remote)
        if name in _SET_BY_US or (remote and name.startswith(_OURS_PREFIX)):
            raise Refused(f"env.{name} cannot be set: outlast sets it itself", code="env_refused", hint="leave it out")
        if remote and injects_code(name):
            raise Refused(
                f"env.{name} cannot be set by a remote caller: it changes which code a program runs",
                code="env_refused",
                hint="leave it out, or set it inside a script the operator has put in place",
            )
    return dict(env)


def _check_possible(name: str, value: str, remote: bool) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise BadInput("env must map names to strings", code="bad_env", hint='as in {"CI": "1"}')
    shown = repr(name[:60])
    if not name or "=" in name or "\0" in name or (remote and not _NAME.fullmatch(name)):
        raise BadInput(
            f"{shown} is not a name for an environment variable",
            code="bad_env",
            hint="use letters, digits and _, not starting with a digit",
        )
    if "\0" in value:
        raise BadInput(f"the value of env {shown} has a NUL in it", code="bad_env", hint="remove the NUL")
    try:
        (name + value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadInput(
            f"env {shown} has half of a surrogate pair in it", code="bad_env", hint="send valid Unicode text"
        ) from None


def injects_code(name: str) -> bool:
    """True for a variable through which a loader, a shell or an interpreter runs code nobody asked it to
    run.
    """
    return name in _INJECTION_NAMES or name.startswith(_INJECTION_PREFIXES)


def child_environment(
    base: Mapping[str, str],
    overrides: Mapping[str, str],
    session_id: str,
    task_id: str | None,
    *,
    shell: bool = True,
    requester: str | None = None,
) -> dict[str, str]:
    """Return a session's whole environment: the caller's or gateway's, then the checked overrides, then our
    ids.

    Of our own variables a child gets only those with which it finds the same gateway; the token never. For
    a command run by the ``shell`` the inherited ``BASH_ENV`` and ``ENV`` are dropped: they are rc files by
    another name, and a shell that is not interactive would still read them. An override that names them is
    the caller's explicit wish. Where an agent's turn asks, its commands act for the same ``requester``, also
    when the environment is somebody else's (a schedule's, one who has it tried again); None is nobody.
    """
    child = inherited(base)
    acts_for_somebody = child.pop(REQUESTER, None) is not None
    if requester is not None and (acts_for_somebody or requester.startswith(_OF_AGENTS)):
        child[REQUESTER] = requester
    if shell:
        child.pop("BASH_ENV", None)
        child.pop("ENV", None)
    child.update(overrides)
    child[_SESSION_ID] = session_id
    if task_id is None:
        child.pop(_TASK_ID, None)
    else:
        child[_TASK_ID] = task_id
    return child


def inherited(base: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment is handed on: of our own variables those that lead to the same gateway."""
    return {name: value for name, value in base.items() if not name.startswith(_OURS_PREFIX) or _kept(name)}


def _kept(name: str) -> bool:
    return name in _OURS_KEPT or (name.startswith(_OURS_KEPT_PREFIXES) and not _SECRET.search(name))


def choose_shell(shell_env: str | None, exists: Callable[[str], bool]) -> str:
    """Return the path of the shell to run commands with: ``$SHELL`` when it is sane, else bash, else sh.

    Sane is an absolute path to a program that is there (``exists`` says whether it may be executed) and
    reads the POSIX shell language: fish, csh, nu and their like do not, ``nologin`` and ``false`` read
    nothing.
    """
    if shell_env and shell_env.startswith("/") and _family(shell_env) in _SHELLS and exists(shell_env):
        return shell_env
    return "/bin/bash" if exists("/bin/bash") else "/bin/sh"


def shell_argv(shell: str, command: str) -> tuple[str, ...]:
    """Return the argument list that runs a command string in a shell, without rc files.

    bash needs its flags even here: with a socket for its stdin it takes itself for a remote login and reads
    them.
    """
    if command.startswith(("-", "+")):
        command = f" {command}"  # else the shell takes it for more options
    return (shell, *_FLAGS.get(_family(shell), ()), "-c", command)


def _family(shell: str) -> str:
    return _VERSION.sub("", shell.rpartition("/")[2])
