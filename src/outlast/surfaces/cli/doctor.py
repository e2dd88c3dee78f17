"""``doctor``: look at everything outlast stands on. Changes nothing; every finding names its mend."""

from __future__ import annotations

import os
import stat
import sys

from outlast._version import __version__
from outlast.client import NotRunning
from outlast.core.durations import format_size
from outlast.core.errors import OutlastError
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.output import DIM, STATUS_COLOURS, brief, colour, print_json, safe, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from outlast.config import Config

OK, WARN, FAIL = "ok", "warn", "fail"
PYTHON_MIN = (3, 11)
FREE_FAIL, FREE_WARN = 100 * 1024**2, 1024**3
FILES_WARN = 4096
SHOWN_MAX = 8
STORE_MEND = "stop the gateway and put the last `outlast backup` in its place; keep the damaged file"


class Finding:
    """What one check found: ok, warn or fail, and for the last two what to do."""

    __slots__ = ("detail", "mend", "name", "state")

    def __init__(self, name: str, state: str, detail: str, mend: str | None = None) -> None:
        self.name = name
        self.state = state
        self.detail = detail
        self.mend = mend

    def as_dict(self) -> dict[str, str | None]:
        """The finding for --json."""
        return {"name": self.name, "state": self.state, "detail": self.detail, "fix": self.mend}


def run(call: Call) -> int:
    """Print the findings; exit code 1 when something fails."""
    findings = list(_findings(call))
    healthy = all(finding.state != FAIL for finding in findings)
    if call.json:
        print_json({"ok": healthy, "checks": [finding.as_dict() for finding in findings]})
        return 0 if healthy else 1
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = colour(f"{finding.state:<4}", STATUS_COLOURS[finding.state])
        say(f"{mark}  {finding.name:<{width}}  {safe(finding.detail)}")
        if finding.mend:
            say(f"      {'':<{width}}  {colour(finding.mend, DIM)}")
    return 0 if healthy else 1


def _findings(call: Call) -> Iterator[Finding]:
    yield check_python()
    config, finding = check_config(call)
    yield finding
    yield from check_kernel()
    yield check_directory("home", config.paths.home)
    yield check_directory("run dir", config.paths.run)
    yield check_disk(config.paths.home)
    if call.gateway is None and call.answer_offline is not None:
        yield from check_store(call)
    status, finding = check_gateway(call)
    yield finding
    if call.gateway is None:
        yield check_keeper(config, status)
        yield check_files(status)
        yield check_sockets(config, listening_sockets())
        yield check_strays(config)


def check_python() -> Finding:
    """Is this Python new enough, and the platform one that outlast knows?"""
    found = f"Python {sys.version.split(' ')[0]} on {sys.platform}"
    if sys.version_info < PYTHON_MIN:
        return Finding("python", FAIL, found, "install Python 3.11 or newer")
    if not sys.platform.startswith("linux"):
        return Finding("python", WARN, f"{found}: only Linux can keep every descendant in sight", "use it on Linux")
    return Finding("python", OK, found)


def check_config(call: Call) -> tuple[Config, Finding]:
    """Are the settings valid? With a bad file the other checks go on with what the environment says."""
    try:
        config = call.config
    except OutlastError as error:
        config = _without_what_is_wrong()
        call.use(config)
        return config, Finding("config", FAIL, error.message, error.hint or "outlast config path")
    path = config.paths.config_file
    return config, Finding("config", OK, path if os.path.exists(path) else f"{path} (not there: defaults)")


def _without_what_is_wrong() -> Config:
    """The settings of the environment, or where that is wrong too the defaults."""
    from outlast.config import load

    try:
        return load(os.environ, read_file=False)
    except OutlastError:
        placed = ("HOME", "OUTLAST_HOME", "OUTLAST_CONFIG", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
        return load({name: os.environ[name] for name in placed if name in os.environ}, read_file=False)


def check_kernel() -> Iterator[Finding]:
    """Can a parent adopt its orphaned descendants, and list its children?"""
    from outlast.process.keeper.libc import become_subreaper

    if become_subreaper():
        yield Finding("subreaper", OK, "orphaned descendants stay in sight")
    else:
        yield Finding(
            "subreaper",
            WARN,
            "no child subreaper here: a process that escapes by double fork is found by its mark only",
            "use Linux 3.4 or newer",
        )
    if os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        yield Finding("proc", OK, "/proc lists children")
    else:
        yield Finding(
            "proc",
            FAIL,
            "/proc does not list the children of a process, so a tree cannot be ended as a whole",
            "mount /proc, on a kernel with CONFIG_PROC_CHILDREN",
        )


def check_directory(name: str, path: str) -> Finding:
    """Is it a real directory, ours, and closed to everybody else?"""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return Finding(name, OK, f"{path} (made when first needed)")
    except OSError as error:
        return Finding(name, FAIL, f"{path}: {error.strerror}", "set OUTLAST_HOME to a directory of your own")
    if not stat.S_ISDIR(found.st_mode):
        return Finding(name, FAIL, f"{path} is not a directory", f"move it away: mv {path} {path}.old")
    if found.st_uid != os.getuid():
        return Finding(name, FAIL, f"{path} belongs to uid {found.st_uid}", f"chown {os.getuid()} {path}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return Finding(name, FAIL, f"{path} is open to others (mode {mode:04o})", f"chmod 700 {path}")
    return Finding(name, OK, path)


def check_disk(home: str) -> Finding:
    """Is there room for output?"""
    place = home
    while not os.path.exists(place):
        place = os.path.dirname(place)
    try:
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    except OSError as error:
        return Finding("disk", FAIL, f"{place}: {error.strerror}", "set OUTLAST_HOME to another disk")
    state = FAIL if free < FREE_FAIL else WARN if free < FREE_WARN else OK
    mend = None if state == OK else "outlast process clear, or set OUTLAST_HOME to another disk"
    return Finding("disk", state, f"{format_size(free)} free", mend)


def check_store(call: Call) -> Iterator[Finding]:
    """Is the ledger whole, and of a version this one can read? Read straight from the store, gateway or not."""
    try:
        found = call.offline("store")
    except OutlastError as error:
        yield Finding("store", FAIL, error.message, error.hint or "outlast gateway restart")
        return
    size = f", {format_size(found['bytes'])}" if found.get("bytes") is not None else ""
    about = f"{found['kind']}, {found['place']}{size}"
    if found["ok"]:
        yield Finding("store", OK, about)
        return
    shown = "; ".join(brief(problem) for problem in found["problems"][:SHOWN_MAX])
    yield Finding("store", FAIL, f"{about}: {shown or 'it is not whole'}", found.get("fix") or STORE_MEND)


def check_gateway(call: Call) -> tuple[dict[str, Any] | None, Finding]:
    """Does it answer, and is it of this version?"""
    try:
        status = call.new_client(autostart=False).get("/v1/status")
    except NotRunning:
        if call.gateway is not None:
            return None, Finding("gateway", FAIL, f"nobody listens on {call.gateway}", "start it there")
        return None, Finding("gateway", OK, "not running (starts when first needed)")
    except OutlastError as error:
        return None, Finding("gateway", FAIL, error.message, error.hint or "outlast gateway restart")
    facts = status["gateway"]
    found = f"pid {facts['pid']}, version {facts['version']}"
    if facts["version"] != __version__:
        return status, Finding(
            "gateway", WARN, f"{found}, but this is version {__version__}", "outlast gateway restart"
        )
    return status, Finding("gateway", OK, found)


def check_keeper(config: Config, status: dict[str, Any] | None) -> Finding:
    """Is the parent of the sessions alive?"""
    if status is None:
        listening = os.path.join(config.paths.run, "keeper.sock") in listening_sockets()
        return Finding("keeper", OK, "running" if listening else "not running (starts when first needed)")
    pid = (status.get("keeper") or {}).get("pid")
    if pid is None:
        return Finding("keeper", OK, "not running (starts when first needed)")
    if os.path.exists(f"/proc/{pid}"):
        return Finding("keeper", OK, f"pid {pid}")
    return Finding("keeper", FAIL, f"pid {pid} is gone", "outlast gateway restart")


def check_files(status: dict[str, Any] | None) -> Finding:
    """May the gateway (or this process, when there is none) open enough files?"""
    import resource

    pid = 0 if status is None else int(status["gateway"]["pid"])
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    except (AttributeError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES_WARN:
        return Finding("open files", WARN, f"at most {hard}: few sessions at once", f"ulimit -Hn {FILES_WARN}")
    return Finding("open files", OK, "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard}")


def listening_sockets() -> set[str]:
    """The paths of the Unix sockets that are open on this machine."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
            return {words[7].rstrip("\n") for line in file if len(words := line.split(" ", 7)) == 8}
    except OSError:
        return set()


def check_sockets(config: Config, open_paths: set[str]) -> Finding:
    """Are there socket files that nobody holds any more?"""
    run = config.paths.run
    try:
        names = os.listdir(run)
    except OSError:
        names = []
    paths = [os.path.join(run, name) for name in sorted(names)]
    stale = [path for path in paths if path not in open_paths and _is_socket(path)]
    if not stale:
        return Finding("sockets", OK, "none stale")
    shown = _some([os.path.basename(path) for path in stale])
    return Finding("sockets", WARN, f"stale: {shown}", "harmless; a gateway start clears them: outlast gateway start")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def check_strays(config: Config) -> Finding:
    """Do processes of this home run whose session has no record?"""
    strays = [pid for pid, session in _marked(config) if not _recorded(config, session)]
    if not strays:
        return Finding("strays", OK, "every session process has its record")
    pids = " ".join(str(pid) for pid in strays)
    return Finding("strays", WARN, f"processes of sessions without a record: {pids}", f"look, then: kill {pids}")


def _recorded(config: Config, session: str) -> bool:
    return os.path.isdir(os.path.join(config.paths.sessions, session))


def _marked(config: Config) -> Iterator[tuple[int, str]]:
    """Yield (pid, session id) of the processes that carry a session's mark and belong to this home."""
    ours = os.environ.get("OUTLAST_HOME")
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        mark, home = _value(words, b"OUTLAST_SESSION_ID="), _value(words, b"OUTLAST_HOME=")
        same = os.path.realpath(home) == os.path.realpath(config.paths.home) if home else ours is None
        if mark and same:
            yield int(name), mark


def _value(words: list[bytes], prefix: bytes) -> str | None:
    return next((os.fsdecode(word[len(prefix) :]) for word in words if word.startswith(prefix)), None)


def _some(words: list[str]) -> str:
    more = len(words) - SHOWN_MAX
    return " ".join(words[:SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
