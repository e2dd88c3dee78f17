"""A config file with one agent more or less: nothing else in it changes."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.agent_file import with_agent, without_agent
from outlast.core.errors import BadInput, Conflict, NotFound, Refused

QUICK = {"backend": "command", "command": ["q", "{message}"]}
FULL = """# mine\r
[tasks]
slots = 3   # few

# the first
[agents.one]
backend = "command"
command = [
  "one",
# not a comment of the next
  "[agents.two]",
]
system = '''
[agents.two]
# still a text
'''

# the second
[ agents . "two" ] # odd
backend = "acp"
command = ["two"]
# about its beat
[agents.two.heartbeat]
every = "1h"
# after it

[agents.three]
backend = "model"
model = "openai:x"
system = @@@
# and this is a text@@@
# the end
""".replace("@@@", '"""')


def agents(text: str) -> list[str]:
    return list(tomllib.loads(text).get("agents", {}))


TWO = """[ agents . "two" ] # odd
backend = "acp"
command = ["two"]
# about its beat
[agents.two.heartbeat]
every = "1h"
"""
THREE = '''
[agents.three]
backend = "model"
model = "openai:x"
system = """
# and this is a text"""
'''


@pytest.mark.parametrize(("name", "gone"), [("two", TWO), ("three", THREE)])
def test_what_is_taken_out_is_the_tables_of_that_agent_and_nothing_else(name: str, gone: str) -> None:
    assert FULL.count(gone) == 1
    # An empty line that would be one too many goes too.
    assert without_agent(FULL, name, "f").replace("\n\n", "\n") == FULL.replace(gone, "").replace("\n\n", "\n")


def test_a_table_that_only_stands_in_a_text_is_none() -> None:
    left = without_agent(FULL, "one", "f")
    assert agents(left) == ["two", "three"]
    assert left.startswith("# mine\r\n[tasks]\nslots = 3   # few\n\n# the first\n\n# the second\n[ agents")


@pytest.mark.parametrize("text", ["", "\n", "# a\n", "[tasks]\nslots = 1\n", FULL, "x = 1"])
def test_what_is_added_and_taken_out_again_leaves_no_trace(text: str) -> None:
    added = with_agent(text, "new", QUICK, "f")
    assert added.startswith(text)
    assert tomllib.loads(added)["agents"]["new"] == QUICK
    left = without_agent(added, "new", "f")
    assert left.removesuffix("[agents]\n") in (text, f"{text}\n")
    assert tomllib.loads(left), "a gateway takes what is empty for half written"
    assert agents(with_agent(left, "new", QUICK, "f"))[-1] == "new"


@pytest.mark.parametrize(
    "text",
    ['agents = { x = { backend = "acp", command = ["x"] } }\n', "agents = 3\n", "[[agents]]\nx = 1\n"],
)
def test_agents_that_are_no_tables_are_left_to_be_edited_by_hand(text: str) -> None:
    with pytest.raises(Refused) as refused:
        with_agent(text, "new", QUICK, "the file")
    assert (refused.value.code, "[agents.new]" in str(refused.value.hint)) == ("not_a_table", True)


@pytest.mark.parametrize(
    "text",
    [
        "agents = { x = { backend = \"acp\", command = [\"x\"] } }\n", "[agents]\nx.backend = \"acp\"\n",
        "agents.x.backend = \"acp\"\n", "[agents]\nx = { backend = \"acp\" }\n",
        "[agents.x]\nbackend = \"acp\"\n[agents]\ny.backend = 1\nx2 = 3\n[[agents.x.more]]\n",
    ],
)  # fmt: skip
def test_one_that_is_written_otherwise_is_not_half_taken_out(text: str) -> None:
    try:
        left = without_agent(text, "x", "f")
    except Refused as refused:
        assert refused.code == "not_a_table"
    else:
        assert agents(left) == [name for name in agents(text) if name != "x"]


def test_a_name_is_had_once_and_what_is_not_there_is_said_with_what_is() -> None:
    with pytest.raises(Conflict, match="there is an agent 'two' already, in f"):
        with_agent(FULL, "two", QUICK, "f")
    with pytest.raises(NotFound, match="no agent 'four' in f") as unknown:
        without_agent(FULL, "four", "f")
    assert "one, three, two" in str(unknown.value.hint)
    for change in (lambda text: with_agent(text, "a", QUICK, "f"), lambda text: without_agent(text, "a", "f")):
        with pytest.raises(BadInput, match="f is not TOML") as broken:
            change("[tasks\n")
        assert broken.value.code == "bad_config"


texts = st.text(st.sampled_from("ab\"'\\#[]=\n\r\t {}\u2028\x1b"), max_size=12)


@given(st.lists(texts, min_size=1, max_size=4), st.integers(0, 3))
def test_whatever_agents_are_told_they_come_and_go_one_by_one(said: list[str], at: int) -> None:
    text = "[tasks]\nslots = 1\n"
    states = [text]
    for number, system in enumerate(said):
        text = with_agent(text, f"a{number}", {**QUICK, "system": system}, "f")
        states.append(text)
    gone = at % len(said)
    left = without_agent(text, f"a{gone}", "f")
    assert agents(left) == [f"a{number}" for number in range(len(said)) if number != gone]
    for number in reversed(range(len(said))):
        text = without_agent(text, f"a{number}", "f")
        assert text == states[number]
