"""Agents follow the config file: looked at when somebody asks, kept as they were where it is broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from outlast import config as config_module
from outlast.config import Config, ConfiguredAgents, load
from outlast.core.errors import BadInput

ONE = '[agents.one]\nbackend = "command"\ncommand = ["one"]\n'
TWO = '[agents.two]\nbackend = "command"\ncommand = ["two"]\n# another size: moments of files may be coarse\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def config(file: Path) -> Config:
    file.write_text(ONE)
    return load({"OUTLAST_HOME": str(file.parent)})


def test_agents_are_those_of_the_file_as_it_is_now(config: Config, file: Path) -> None:
    assert list(config.agents) == ["one"]
    file.write_text(ONE + TWO)
    assert (list(config.agents), len(config.agents), "two" in config.agents) == (["one", "two"], 2, True)
    assert [agent.name for agent in config.agents.values()] == ["one", "two"]
    assert [(name, agent.command) for name, agent in config.agents.items()] == [("one", ("one",)), ("two", ("two",))]
    before = config.agents.now()
    file.write_text(TWO.replace('"two"]', '"deux"]'))
    assert config.agents["two"].command == ("deux",)
    assert config.agents.get("one") is None
    assert before["two"].command == ("two",), "what somebody has in hand stays as it was"


def test_a_file_that_appears_later_is_found(file: Path) -> None:
    config = load({"OUTLAST_HOME": str(file.parent)})
    assert dict(config.agents) == {}
    file.write_text(ONE)
    assert list(config.agents) == ["one"]


def test_a_file_that_is_put_in_its_place_is_another_one(config: Config, file: Path) -> None:
    """Editors write beside and rename: same size, same moment."""
    assert list(config.agents) == ["one"]
    stat = file.stat()
    beside = file.with_name("beside")
    beside.write_text(ONE.replace("agents.one", "agents.six"))
    os.utime(beside, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(beside, file)
    assert list(config.agents) == ["six"]


def test_a_change_between_the_reading_and_the_first_question_is_seen(config: Config, file: Path) -> None:
    file.write_text(TWO)
    assert list(config.agents) == ["two"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[agents.two\n", "is not TOML"), ('[agents.two]\nbackend = "horse"\n', "agents.two.backend cannot be 'horse'"),
        ("agents = 3\n", "agents must be tables"), ("", "is empty or gone"), (None, "is empty or gone"),
        (b"\xff\xfe", "is not TOML"), ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("x = " + "9" * 5000, "is not TOML"), (TWO + "#" * 1024 * 1024, "larger than 1024 KiB"),
        (TWO + 'heartbeat = { every = "1h", activeHours = "08:00-09:00", tz = "Mars/Base" }', "Mars/Base"),
    ],
)  # fmt: skip
def test_a_broken_file_keeps_the_agents_and_is_named_until_it_is_mended(
    config: Config, file: Path, text: str | bytes | None, says: str
) -> None:
    assert list(config.agents) == ["one"]
    if text is None:
        file.unlink()
    else:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert list(config.agents) == ["one"]
    assert config.agents.trouble is not None
    assert says in config.agents.trouble.message
    file.write_text(ONE + TWO)
    assert list(config.agents) == ["one", "two"]
    assert config.agents.trouble is None


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda file: file.symlink_to("/dev/zero")])
def test_what_is_no_file_keeps_the_agents_and_nobody_waiting(
    config: Config, file: Path, put: Callable[[Path], None]
) -> None:
    """A pipe nobody writes to, a directory, a device without an end: a gateway reads it between two requests."""
    file.unlink()
    put(file)
    assert list(config.agents) == ["one"]
    assert config.agents.trouble is not None
    with pytest.raises(BadInput) as caught:
        load({"OUTLAST_HOME": str(file.parent)})
    assert caught.value.code == "bad_config"


def test_no_other_setting_follows_the_file(config: Config, file: Path) -> None:
    slots = config.tasks_slots
    file.write_text(TWO + f"[tasks]\nslots = {slots + 1}\n[horses]\nlegs = 4\n")
    assert list(config.agents) == ["two"]
    assert (config.tasks_slots, config.agents.trouble) == (slots, None)


def test_who_listens_is_told_of_other_agents_and_of_nothing_else(config: Config, file: Path) -> None:
    told: list[list[str]] = []
    config.agents.on_change(lambda: told.append(list(config.agents)))
    assert list(config.agents) == ["one"]
    file.write_text(ONE + "\n# a word\n")
    assert list(config.agents) == ["one"]
    file.write_text("broken")
    assert list(config.agents) == ["one"]
    assert told == []
    file.write_text(TWO)
    assert told == [], "nobody has asked"
    assert list(config.agents) == ["two"]
    assert told == [["two"]]


def test_a_file_that_has_not_changed_is_not_read_again(
    config: Config, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    real = config_module.read_tables
    monkeypatch.setattr(config_module, "read_tables", lambda path, **more: reads.append(path) or real(path, **more))
    for _ in range(3):
        assert list(config.agents) == ["one"]
    assert reads == []
    file.write_text("broken")
    for _ in range(3):
        assert list(config.agents) == ["one"]
    assert reads == [str(file)]


def test_agents_without_a_file_stay_as_they_are() -> None:
    assert list(ConfiguredAgents({"x": {"backend": "command", "command": ["x"]}})) == ["x"]
