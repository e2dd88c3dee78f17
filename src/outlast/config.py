"""Where outlast keeps its things, and the settings an operator can change.

A setting comes from its environment variable, else from the config file, else from its default. An unknown
name or an impossible value is an error at once: a policy that is misspelled must not be a policy that is
off. The command line imports this module too: it stays light, and loads TOML only when there is a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from outlast.config_file import read_tables
from outlast.core.errors import BadInput, Refused
from outlast.core.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from outlast.core.agent import AgentSpec
    from outlast.core.policy import Mode

SOCKET_PATH_MAX = 103
"""The longest path of a Unix socket that every system takes, in bytes."""
SOCKET_NAME_MAX = 24
"""Bytes set aside for the name of a socket in its directory, slash included."""

Source = Literal["default", "file", "env"]

_TMP = "/tmp"


class Paths(NamedTuple):
    """Every path outlast uses: under ``home`` what lasts, under ``run`` the sockets."""

    home: str
    run: str
    socket: str
    lock: str
    start_lock: str
    log: str
    token: str
    node: str
    webhook_secret: str
    approval_secret: str
    config_file: str
    sessions: str
    open: str


class Row(NamedTuple):
    """One setting as ``outlast config show`` shows it."""

    key: str
    value: Any
    source: Source
    help: str


class ConfiguredAgents(Mapping[str, "AgentSpec"]):
    """The agents of the config file as they are now, by name.

    The file is looked at when somebody asks, never otherwise, and read again where it has changed: so an agent that is
    added is there for the next turn. A file that is broken, or gone, changes nothing, and ``trouble`` says what is
    wrong with it. Without a ``path`` they stay as they are. Used from one thread.
    """

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Any]],
        path: str | None = None,
        seen: _Seen | None = None,
    ) -> None:
        """``seen`` is what `_seen` said of the file before the tables were read from it."""
        self.trouble: BadInput | None = None
        self._tables = tables
        self._path = path
        self._seen = seen
        self._known: Mapping[str, AgentSpec] | None = None
        self._heard: list[Callable[[], None]] = []

    def on_change(self, tell: Callable[[], None]) -> None:
        """Have somebody told when other agents, or agents changed, are found."""
        self._heard.append(tell)

    def now(self) -> Mapping[str, AgentSpec]:
        """Return the agents there are; what was returned before stays as it was."""
        if self._known is None:
            self._known = _specs(self._tables)
        if self._path is not None and (seen := _seen(self._path)) != self._seen:
            self._seen = seen
            self._known = self._read_again(self._path, self._known)
        return self._known

    def _read_again(self, path: str, known: Mapping[str, AgentSpec]) -> Mapping[str, AgentSpec]:
        try:
            tables = read_tables(path, required=False)
            if not tables and known:  # half written, more often than meant
                raise BadInput(
                    f"{path} is empty or gone", code="bad_config", hint="put it back, or: outlast gateway restart"
                )
            found = _specs(_agents(tables.get("agents", {}), path))
        except BadInput as trouble:
            self.trouble = trouble
            return known
        self.trouble = None
        if found == known:
            return known
        self._known = found  # whoever is told may ask
        for tell in self._heard:
            tell()
        return found

    def __getitem__(self, name: str) -> AgentSpec:
        return self.now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.now())

    def __len__(self) -> int:
        return len(self.now())

    def values(self) -> ValuesView[AgentSpec]:
        """Return the agents of one moment."""
        return self.now().values()

    def items(self) -> ItemsView[str, AgentSpec]:
        """Return the names and agents of one moment."""
        return self.now().items()


_Seen = tuple[int, ...]


def _seen(path: str) -> _Seen | None:
    """Return what tells one state of a file from another; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _specs(tables: Mapping[str, Mapping[str, Any]]) -> Mapping[str, AgentSpec]:
    from outlast.core.agent_config import read_agents

    return MappingProxyType(read_agents(tables))


class Config(NamedTuple):
    """The settings in force; `SETTINGS` says what each one is for.

    ``sources`` maps the key of each to where its value comes from. ``agent_tables`` are the tables ``[agents.NAME]`` as
    they were written, checked; ``agents``, alone of all settings, follows the file.
    """

    paths: Paths
    sources: Mapping[str, Source]
    agent_tables: Mapping[str, Mapping[str, Any]]
    agents: ConfiguredAgents
    exec_mode: Mode
    exec_allow: tuple[str, ...]
    exec_requesters: Mapping[str, Mode]
    exec_yield_ms: int
    exec_fake_timers: Literal["warn", "refuse", "off"]
    exec_grace_seconds: float
    exec_output_cap_bytes: int
    exec_shell: str
    sessions_keep_hours: float
    sessions_keep_bytes: int
    sessions_live_max: int
    store_url: str
    tasks_slots: int
    tasks_keep_days: float
    transcripts_keep_days: float
    approvals_expires: float
    approvals_notify: tuple[str, ...]
    approvals_deciders: tuple[str, ...]
    approvals_own: bool
    flows_modules: tuple[str, ...]
    flows_slots: int
    flows_lease_seconds: float
    delivery_allow_private: tuple[str, ...]
    delivery_smtp_host: str
    delivery_smtp_port: int
    delivery_smtp_security: Literal["starttls", "tls", "none"]
    delivery_smtp_sender: str
    delivery_smtp_username: str
    delivery_smtp_password: str
    gateway_listen: str
    gateway_allow_hosts: tuple[str, ...]
    gateway_public_url: str

    def describe(self) -> list[Row]:
        """Return every setting and every agent: the value as JSON knows it, where it comes from, what it is for."""
        rows = [Row(s.key, _hidden(s.key, getattr(self, s.attribute)), self.sources[s.key], s.help) for s in SETTINGS]
        if self.agent_tables:
            from outlast.core.agent_config import SECTION, shown_table

            rows += [
                Row(f"{SECTION}.{name}", shown_table(table), "file", f"An agent, by backend {table['backend']}.")
                for name, table in self.agent_tables.items()
            ]
        return rows


_SECTIONS = frozenset(setting.key.partition(".")[0] for setting in SETTINGS)
_PREFIXES = tuple(f"OUTLAST_{section.upper()}_" for section in _SECTIONS)


def load(environ: Mapping[str, str], *, read_file: bool = True) -> Config:
    """Return the paths and settings for an environment; with ``read_file`` false those it gives without the file.

    Raises `BadInput` (``bad_config``) naming the file or variable, the key and what is allowed.
    """
    paths = find_paths(environ)
    values: dict[str, Any] = {setting.attribute: setting.default for setting in SETTINGS}
    sources: dict[str, Source] = {setting.key: "default" for setting in SETTINGS}
    seen = _seen(paths.config_file)  # before it is read, so that no later change goes unseen
    tables = read_tables(paths.config_file, required=bool(environ.get("OUTLAST_CONFIG"))) if read_file else {}
    agents = MappingProxyType(_agents(tables.pop("agents", {}), paths.config_file))
    for setting, raw in _from_tables(tables, paths.config_file):
        values[setting.attribute] = _read(setting.read, raw, setting, f"{paths.config_file}: {setting.key}")
        sources[setting.key] = "file"
    for setting, text in _from_environment(environ):
        assert setting.from_text
        raw = _read(setting.from_text, text, setting, str(setting.variable))
        values[setting.attribute] = _read(setting.read, raw, setting, str(setting.variable))
        sources[setting.key] = "env"
    live = ConfiguredAgents(agents, paths.config_file, seen)
    return Config(paths=paths, sources=MappingProxyType(sources), agent_tables=agents, agents=live, **values)


def _read(reader: Callable[[Any], Any], raw: Any, setting: Setting, where: str) -> Any:  # noqa: ANN401
    try:
        return reader(raw)
    except ValueError:
        shown = repr(raw) if len(repr(raw)) <= 60 else f"{repr(raw)[:60]}…"
        raise BadInput(f"{where} cannot be {shown}", code="bad_config", hint=f"allowed: {setting.allowed}") from None


def _from_environment(environ: Mapping[str, str]) -> list[tuple[Setting, str]]:
    known = {setting.variable: setting for setting in SETTINGS if setting.variable}
    for name in environ:
        if name.startswith(_PREFIXES) and name not in known:
            raise BadInput(f"{name} is not a setting", code="bad_config", hint=_closest(name, list(known)))
    # Set but empty means unset; only where empty is a value of its own does it override the file.
    return [
        (setting, environ[name])
        for name, setting in known.items()
        if name in environ and (environ[name] or setting.default == "")
    ]


def _agents(tables: Any, path: str) -> dict[str, Mapping[str, Any]]:  # noqa: ANN401
    """Check the tables of agents and return them as they are written."""
    if not tables and isinstance(tables, dict):
        return {}
    from outlast.core.agent_config import check_agents

    for name, fields in check_agents(tables, f"{path}: ").items():
        if zone := fields.get("heartbeat", {}).get("tz"):
            _check_zone(zone, f"{path}: agents.{name}.heartbeat.tz")
    return dict(tables)


def _check_zone(zone: str, where: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (LookupError, OSError, ValueError):
        raise BadInput(
            f"{where} cannot be {zone!r}", code="bad_config", hint="allowed: an IANA name such as Europe/Berlin"
        ) from None


def _from_tables(tables: dict[str, Any], path: str) -> list[tuple[Setting, Any]]:
    known = {setting.key: setting for setting in SETTINGS}
    found = []
    for section, table in tables.items():
        if section not in _SECTIONS or not isinstance(table, dict):
            raise BadInput(
                f"{path}: {section} is not a setting", code="bad_config", hint=_closest(section, list(known))
            )
        for name, raw in table.items():
            key = f"{section}.{name}"
            if key not in known:
                raise BadInput(f"{path}: {key} is not a setting", code="bad_config", hint=_closest(key, list(known)))
            found.append((known[key], raw))
    return found


def _closest(word: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "`outlast config show` lists every setting"


def find_paths(environ: Mapping[str, str]) -> Paths:
    """Return where everything is for an environment; nothing is created.

    The home is resolved to its real path, so that two names for one home share one gateway.
    """
    user = environ.get("HOME") or os.path.expanduser("~")
    own_home = environ.get("OUTLAST_HOME")
    state = _xdg(environ, "XDG_STATE_HOME") or os.path.join(user, ".local", "state")
    home = os.path.realpath(own_home or os.path.join(state, "outlast"))
    if own_home:
        config_file = os.path.join(home, "config.toml")
    else:
        settings = _xdg(environ, "XDG_CONFIG_HOME") or os.path.join(user, ".config")
        config_file = os.path.join(settings, "outlast", "config.toml")
    run = _run_directory(home)
    return Paths(
        home=home,
        run=run,
        socket=os.path.join(run, "gateway.sock"),
        lock=os.path.join(home, "gateway.lock"),
        start_lock=os.path.join(home, "start.lock"),
        log=os.path.join(home, "gateway.log"),
        token=os.path.join(home, "token"),
        node=os.path.join(home, "node"),
        webhook_secret=os.path.join(home, "webhook.secret"),
        approval_secret=os.path.join(home, "approval.secret"),
        config_file=os.path.abspath(environ.get("OUTLAST_CONFIG") or config_file),
        sessions=os.path.join(home, "sessions"),
        open=os.path.join(home, "open"),
    )


def _xdg(environ: Mapping[str, str], name: str) -> str | None:
    """Return a base directory; one that is not absolute counts as unset, by the XDG rules."""
    path = environ.get(name, "")
    return path if path.startswith("/") else None


def _run_directory(home: str) -> str:
    """Where the sockets live: under the home, or in /tmp when that path is too long for a socket's name.

    It follows from the home alone, so that every caller finds the same gateway whatever else its environment says.
    """
    run = os.path.join(home, "run")
    if len(os.fsencode(run)) + SOCKET_NAME_MAX <= SOCKET_PATH_MAX:
        return run
    return os.path.join(_TMP, f"outlast-{os.getuid()}", _digest(os.fsencode(home)))


def _digest(octets: bytes) -> str:
    """Return the first ten hex digits of the SHA-256: ``hashlib`` would load OpenSSL, 4 ms at every start."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            from hashlib import sha256
    digest: str = sha256(octets).hexdigest()
    return digest[:10]


def ensure_dirs(paths: Paths) -> None:
    """Create the home and run directories, each 0700, and check that they are ours alone.

    Raises `Refused` (``bad_directory``) for a symbolic link, another owner, or permissions for anyone else:
    who put it there could already be waiting inside, so nothing is repaired.
    """
    try:
        os.makedirs(os.path.dirname(paths.home), mode=0o700, exist_ok=True)
    except OSError as error:
        raise Refused(f"cannot create {paths.home}: {error.strerror}", code="bad_directory", hint=_ELSEWHERE) from None
    for path in (paths.home, paths.sessions, paths.open):
        private_directory(path)
    parent = os.path.dirname(paths.run)
    if os.path.basename(parent) == f"outlast-{os.getuid()}":
        private_directory(parent)
    private_directory(paths.run)


def private_directory(path: str) -> None:
    """Create one directory 0700 unless it is there, and check it; raises `Refused` as `ensure_dirs` does."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise Refused(f"cannot create {path}: {error.strerror}", code="bad_directory", hint=_ELSEWHERE) from None
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode):
        raise Refused(f"{path} is not a real directory", code="bad_directory", hint=f"remove it, or {_ELSEWHERE}")
    if info.st_uid != os.getuid():
        raise Refused(f"{path} belongs to uid {info.st_uid}", code="bad_directory", hint=_ELSEWHERE)
    if info.st_mode & 0o077:
        raise Refused(
            f"{path} is open to others (mode {stat.S_IMODE(info.st_mode):04o})",
            code="bad_directory",
            hint=f"look inside, then: chmod 700 {path}",
        )


_ELSEWHERE = "set OUTLAST_HOME to a directory of your own"


def _hidden(key: str, value: Any) -> Any:  # noqa: ANN401
    if key == "approvals.notify":  # an address may be a secret as a whole
        return [f"{kind}:***" if colon and "/" in rest else kind + colon + rest for kind, colon, rest in _parted(value)]
    return "***" if key.endswith("password") and value else _plain(value)


def _parted(values: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [value.partition(":") for value in values]


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) and "://" in value:
        from outlast.core.redact import redact

        return redact(value)  # an address may hold a password
    return list(value) if isinstance(value, tuple) else value
