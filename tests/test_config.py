"""Configuration: where things are, what settings may be, and directories that must be ours alone."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from outlast import config
from outlast.config import Config, Paths, ensure_dirs, find_paths, load, private_directory
from outlast.core import policy
from outlast.core.errors import BadInput, Refused
from outlast.core.settings import MODES, SETTINGS, default_config_text


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment with nothing in it but a home directory."""
    return {"HOME": str(tmp_path)}


def load_file(tmp_path: Path, text: str, **more: str) -> Config:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    return load({"HOME": str(tmp_path), "OUTLAST_CONFIG": str(file), **more})


# paths


def test_the_home_follows_the_environment(tmp_path: Path, env: dict[str, str]) -> None:
    state, own = tmp_path / "state", tmp_path / "own"
    assert find_paths(env).home == f"{tmp_path}/.local/state/outlast"
    assert find_paths(env | {"XDG_STATE_HOME": str(state)}).home == f"{state}/outlast"
    assert find_paths(env | {"XDG_STATE_HOME": "relative"}).home == f"{tmp_path}/.local/state/outlast"
    assert find_paths(env | {"XDG_STATE_HOME": str(state), "OUTLAST_HOME": str(own)}).home == str(own)


def test_everything_has_its_place(tmp_path: Path, env: dict[str, str]) -> None:
    paths = find_paths(env | {"OUTLAST_HOME": str(tmp_path / "o")})
    home = str(tmp_path / "o")
    assert paths == Paths(
        home=home,
        run=paths.run,
        socket=f"{paths.run}/gateway.sock",
        lock=f"{home}/gateway.lock",
        start_lock=f"{home}/start.lock",
        log=f"{home}/gateway.log",
        token=f"{home}/token",
        node=f"{home}/node",
        webhook_secret=f"{home}/webhook.secret",
        approval_secret=f"{home}/approval.secret",
        config_file=f"{home}/config.toml",
        sessions=f"{home}/sessions",
        open=f"{home}/open",
    )
    assert not os.path.exists(home)


def test_the_config_file_follows_the_environment(tmp_path: Path, env: dict[str, str]) -> None:
    assert find_paths(env).config_file == f"{tmp_path}/.config/outlast/config.toml"
    assert find_paths(env | {"XDG_CONFIG_HOME": "/c"}).config_file == "/c/outlast/config.toml"
    own = env | {"XDG_CONFIG_HOME": "/c", "OUTLAST_HOME": str(tmp_path)}
    assert find_paths(own).config_file == f"{tmp_path}/config.toml"
    assert find_paths(own | {"OUTLAST_CONFIG": "/x.toml"}).config_file == "/x.toml"


def test_without_a_home_variable_the_user_database_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/known/home")
    assert find_paths({}).home == "/known/home/.local/state/outlast"


def test_two_names_for_one_home_share_their_sockets(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    one, two = (find_paths(env | {"OUTLAST_HOME": str(tmp_path / name)}) for name in "ab")
    other = find_paths(env | {"OUTLAST_HOME": str(tmp_path / "c")})
    assert one == two
    assert other.run != one.run


def test_sockets_live_under_the_home_whatever_the_environment_says(tmp_path: Path, env: dict[str, str]) -> None:
    """A caller from cron, su or another login must find the gateway that a desktop session started."""
    home = env | {"OUTLAST_HOME": "/srv/short"}
    paths = find_paths(home)
    assert paths.run == "/srv/short/run"
    assert find_paths(home | {"XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}) == paths


def test_and_in_tmp_when_that_path_is_too_long_for_a_socket(env: dict[str, str]) -> None:
    paths = find_paths(env | {"OUTLAST_HOME": "/srv/" + "long" * 30})
    assert paths.run.startswith(f"/tmp/outlast-{os.getuid()}/")
    assert len(paths.socket) <= config.SOCKET_PATH_MAX
    assert paths.run != find_paths(env | {"OUTLAST_HOME": "/srv/" + "lone" * 30}).run


# settings


def test_defaults(env: dict[str, str]) -> None:
    settings = load(env)
    assert settings[4:] == (
        "full", (), {}, 10_000, "warn", 5.0, 268_435_456, "", 24.0, 5 * 1024**3, 4000, "", 64, 7.0, 30.0, 86_400.0,
        (), (), False, (), 500, 30.0, (), "", 587, "starttls", "", "", "", "", (), "",
    )  # fmt: skip
    assert set(settings.sources.values()) == {"default"}


def test_the_file_is_read(tmp_path: Path) -> None:
    settings = load_file(
        tmp_path,
        """
        [exec]
        mode = "allowlist"
        allow = ["npm run *", "make"]
        yield_ms = 0
        fake_timers = "refuse"
        grace_seconds = 2
        output_cap_bytes = "1MiB"
        shell = "/bin/dash"
        [exec.requesters]
        "agent:*" = "deny"
        [sessions]
        keep_hours = 0.5
        keep_bytes = 4096
        live_max = 10
        [store]
        url = "postgresql://db.local/outlast"
        [tasks]
        slots = 3
        keep_days = 1.5
        [transcripts]
        keep_days = 2.5
        [approvals]
        expires = "2h30m"
        notify = ["smtp:me@mail.local", "boss"]
        deciders = ["agent:lead:*"]
        own = true
        [flows]
        modules = ["/srv/flows.py"]
        slots = 20
        lease_seconds = 12
        [delivery]
        allow_private = ["10.0.0.0/8"]
        smtp_host = "mail.local"
        smtp_port = 25
        smtp_security = "tls"
        smtp_sender = "me@mail.local"
        smtp_username = "me"
        smtp_password = "secret"
        [gateway]
        listen = "[::1]:8080"
        allow_hosts = ["box.local"]
        public_url = "https://box.local:8443/outlast"
        """,
    )
    assert settings[4:] == (
        "allowlist", ("npm run *", "make"), {"agent:*": "deny"}, 0, "refuse", 2.0, 1024**2, "/bin/dash", 0.5, 4096, 10,
        "postgresql://db.local/outlast", 3, 1.5, 2.5, 9_000.0, ("smtp:me@mail.local", "boss"), ("agent:lead:*",),
        True, ("/srv/flows.py",), 20, 12.0, ("10.0.0.0/8",), "mail.local", 25, "tls", "me@mail.local", "me", "secret",
        "[::1]:8080", ("box.local",), "https://box.local:8443/outlast",
    )  # fmt: skip
    assert set(settings.sources.values()) == {"file"}


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    settings = load_file(
        tmp_path,
        'exec.mode = "deny"\nexec.yield_ms = 1\ngateway.listen = "localhost:1"\n',
        OUTLAST_EXEC_MODE="ask",
        OUTLAST_EXEC_ALLOW="npm run *\n\n git commit -m a,b \n",
        OUTLAST_EXEC_YIELD_MS="",
        OUTLAST_EXEC_GRACE_SECONDS="0.5",
        OUTLAST_EXEC_OUTPUT_CAP_BYTES="2MiB",
        OUTLAST_SESSIONS_LIVE_MAX="5",
        OUTLAST_GATEWAY_LISTEN="",
        OUTLAST_GATEWAY_ALLOW_HOSTS="a.b, c",
        OUTLAST_APPROVALS_EXPIRES="90m",
        OUTLAST_APPROVALS_NOTIFY="desktop:\n\n phone \n",
        OUTLAST_APPROVALS_OWN="true",
    )
    assert settings.exec_mode == "ask"
    assert settings.exec_allow == ("npm run *", "git commit -m a,b")
    assert settings.exec_yield_ms == 1
    assert settings.exec_grace_seconds == 0.5
    assert settings.exec_output_cap_bytes == 2 * 1024**2
    assert settings.sessions_live_max == 5
    assert settings.gateway_listen == ""
    assert settings.gateway_allow_hosts == ("a.b", "c")
    assert settings.approvals_expires == 5_400.0
    assert settings.approvals_notify == ("desktop:", "phone")
    assert settings.approvals_own is True
    assert settings.sources["exec.mode"] == "env"
    assert settings.sources["exec.yield_ms"] == "file"
    assert settings.sources["gateway.listen"] == "env"
    assert settings.sources["exec.shell"] == "default"


@pytest.mark.parametrize(
    "line",
    [
        'exec.mode = "open"', "exec.mode = 1", 'exec.allow = "make"', "exec.allow = [1]", 'exec.allow = [""]',
        'exec.requesters = {"a" = "open"}', 'exec.requesters = {"" = "deny"}', "exec.requesters = []",
        "exec.yield_ms = -1", "exec.yield_ms = 120001", "exec.yield_ms = 1.0", "exec.yield_ms = true",
        'exec.yield_ms = "1"', 'exec.fake_timers = "on"', "exec.grace_seconds = -0.1", "exec.grace_seconds = inf",
        "exec.grace_seconds = nan", 'exec.grace_seconds = "5"', "exec.output_cap_bytes = 1048575",
        'exec.output_cap_bytes = "256M"', "exec.output_cap_bytes = true", 'exec.shell = "bash"', "exec.shell = 1",
        "sessions.keep_hours = -1", "sessions.keep_bytes = -1", "sessions.live_max = 0", 'gateway.listen = "8080"',
        'gateway.listen = "host:"', 'gateway.listen = "host:65536"', 'gateway.listen = ":80"',
        'gateway.listen = "a b:1"', 'gateway.listen = "::1:80"', 'gateway.listen = "host:٣"',
        'gateway.allow_hosts = ["a/b"]',
        'approvals.expires = "soon"', "approvals.expires = 59", "approvals.expires = true",
        "approvals.own = 1", 'approvals.own = "true"', 'approvals.notify = "desktop:"', 'approvals.deciders = [""]',
        'gateway.public_url = "box.local"', 'gateway.public_url = "ftp://box"', 'gateway.public_url = "https://box/"',
        'gateway.public_url = "https://"', 'gateway.public_url = "https://a b"', 'gateway.public_url = "https://box?x"',
        'gateway.public_url = "https://u@box"', 'gateway.public_url = "https://box:99999"',
    ],
)  # fmt: skip
def test_impossible_values_are_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_file(tmp_path, line)
    assert caught.value.code == "bad_config"
    assert "settings.toml" in caught.value.message
    assert line.split(" ")[0] in caught.value.message
    assert (caught.value.hint or "").startswith("allowed: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OUTLAST_EXEC_MODE", "FULL"),
        ("OUTLAST_EXEC_YIELD_MS", "1s"),
        ("OUTLAST_EXEC_YIELD_MS", "٣"),
        ("OUTLAST_EXEC_YIELD_MS", "1" * 5000),
        ("OUTLAST_EXEC_GRACE_SECONDS", "inf"),
        ("OUTLAST_EXEC_GRACE_SECONDS", "1e3"),
        ("OUTLAST_EXEC_OUTPUT_CAP_BYTES", "1"),
        ("OUTLAST_SESSIONS_KEEP_BYTES", "5G"),
        ("OUTLAST_GATEWAY_LISTEN", "nowhere"),
    ],
)
def test_an_impossible_variable_is_named(env: dict[str, str], name: str, text: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(env | {name: text})
    assert caught.value.code == "bad_config"
    assert name in caught.value.message
    assert len(caught.value.message) < 120


@pytest.mark.parametrize(
    ("text", "named", "meant"),
    [
        ("exec.moed = 'deny'", "exec.moed", "exec.mode"),
        ("exce.mode = 'deny'", "exce", None),
        ("[nothing]", "nothing", None),
        ("mode = 'deny'", "mode", None),
        ("exec = 1", "exec", None),
        ("[sessions.keep_hour]\nx = 1", "sessions.keep_hour", "sessions.keep_hours"),
    ],
)
def test_unknown_keys_are_named(tmp_path: Path, text: str, named: str, meant: str | None) -> None:
    with pytest.raises(BadInput) as caught:
        load_file(tmp_path, text)
    assert f"settings.toml: {named} is not a setting" in caught.value.message
    if meant:
        assert caught.value.hint == f"did you mean {meant}?"


@pytest.mark.parametrize("name", ["OUTLAST_EXEC_MOED", "OUTLAST_EXEC_REQUESTERS", "OUTLAST_SESSIONS_X"])
def test_a_misspelled_variable_is_not_a_policy_that_is_off(env: dict[str, str], name: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(env | {name: "deny"})
    assert name in caught.value.message


def test_other_variables_of_ours_are_no_settings(env: dict[str, str]) -> None:
    load(env | {"OUTLAST_TOKEN": "x", "OUTLAST_SESSION_ID": "x", "OUTLAST_GATEWAY": "x", "OUTLAST_REQUESTER": "x"})


@pytest.mark.parametrize("octets", [b"exec.mode = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(octets)
    with pytest.raises(BadInput) as caught:
        load({"HOME": str(tmp_path), "OUTLAST_CONFIG": str(file)})
    assert f"{file} is not TOML" in caught.value.message


def test_a_file_asked_for_must_be_there(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(BadInput) as caught:
        load(env | {"OUTLAST_CONFIG": str(tmp_path / "x.toml")})
    assert "x.toml is not there" in caught.value.message
    with pytest.raises(BadInput, match="cannot read"):
        load(env | {"OUTLAST_CONFIG": str(tmp_path)})
    assert load(env | {"OUTLAST_CONFIG": os.devnull}).exec_mode == "full"
    assert load(env | {"OUTLAST_CONFIG": ""}).exec_mode == "full"


def test_describe_says_all_in_json_terms(tmp_path: Path) -> None:
    rows = load_file(tmp_path, 'exec.allow = ["a"]\nexec.requesters = {b = "ask"}').describe()
    assert [row.key for row in rows] == [setting.key for setting in SETTINGS]
    assert all(row.help for row in rows)
    by_key: dict[str, Any] = {row.key: (row.value, row.source) for row in rows}
    assert by_key["exec.allow"] == (["a"], "file")
    assert by_key["exec.requesters"] == ({"b": "ask"}, "file")
    assert by_key["exec.mode"] == ("full", "default")
    json.dumps(rows)


def test_addresses_that_may_be_secrets_are_not_shown(env: dict[str, str]) -> None:
    notify = "webhook:https://hooks.local/secret\nsmtp:me@mail.local\ndesktop:\nagent:boss:main"
    shown = {row.key: row.value for row in load(env | {"OUTLAST_APPROVALS_NOTIFY": notify}).describe()}
    assert shown["approvals.notify"] == ["webhook:***", "smtp:me@mail.local", "desktop:", "agent:boss:main"]


def test_the_settings_are_the_fields() -> None:
    assert tuple(setting.attribute for setting in SETTINGS) == Config._fields[4:]
    assert get_args(policy.Mode) == MODES


def test_the_template_is_the_defaults(tmp_path: Path, env: dict[str, str]) -> None:
    text = default_config_text()
    assert tomllib.loads(text) == {
        "exec": {},
        "sessions": {},
        "store": {},
        "tasks": {},
        "transcripts": {},
        "approvals": {},
        "flows": {},
        "delivery": {},
        "gateway": {},
    }
    settings = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("[") or " = " in line]
    loaded = load_file(tmp_path, "\n".join(settings))
    assert loaded[2:] == load(env)[2:]
    assert set(loaded.sources.values()) == {"file"}


# directories


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = find_paths({"HOME": str(tmp_path), "OUTLAST_HOME": str(tmp_path / "deep" / "home")})
    return found._replace(run=str(tmp_path / f"outlast-{os.getuid()}" / "run"))


def test_directories_are_made_for_us_alone(paths: Paths) -> None:
    previous = os.umask(0)
    try:
        ensure_dirs(paths)
        ensure_dirs(paths)
    finally:
        os.umask(previous)
    for path in (paths.home, paths.sessions, paths.open, paths.run, os.path.dirname(paths.run)):
        assert os.stat(path).st_mode & 0o7777 == 0o700, path


def test_only_a_parent_of_our_own_making_is_judged(tmp_path: Path, paths: Paths) -> None:
    (tmp_path / "runtime").mkdir(mode=0o755)
    ensure_dirs(paths._replace(run=str(tmp_path / "runtime" / "run")))


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o704, 0o770, 0o777])
@pytest.mark.parametrize("which", ["home", "sessions", "run", "parent"])
def test_a_directory_open_to_others_is_refused(paths: Paths, which: str, mode: int) -> None:
    ensure_dirs(paths)
    path = os.path.dirname(paths.run) if which == "parent" else getattr(paths, which)
    os.chmod(path, mode)
    with pytest.raises(Refused) as caught:
        ensure_dirs(paths)
    assert caught.value.code == "bad_directory"
    assert path in caught.value.message
    assert os.stat(path).st_mode & 0o777 == mode


def test_a_link_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    for name, target in (("link", "real"), ("dangling", "nothing")):
        (tmp_path / name).symlink_to(tmp_path / target)
        with pytest.raises(Refused, match="not a real directory"):
            private_directory(str(tmp_path / name))
    assert not (tmp_path / "nothing").exists()


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="not a real directory"):
        private_directory(str(tmp_path / "file"))
    with pytest.raises(Refused, match="cannot create"):
        private_directory(str(tmp_path / "file" / "below"))


def test_a_home_below_a_file_is_refused(tmp_path: Path, paths: Paths) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot create"):
        ensure_dirs(paths._replace(home=str(tmp_path / "file" / "a" / "b")))


def test_somebody_elses_directory_is_refused(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_dirs(paths)
    if os.getuid() == 0:
        os.chown(paths.run, 54321, 54321)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(Refused, match="belongs to uid"):
        ensure_dirs(paths)


def test_importing_it_costs_the_command_line_little() -> None:
    heavy = ["asyncio", "msgspec", "dataclasses", "inspect", "hashlib", "tomllib", "difflib", "socket", "subprocess"]
    code = (
        "import os, sys; from outlast.config import load; load({'HOME': '/nonexistent'}); "
        f"print(*[name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
