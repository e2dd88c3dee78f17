"""The table of moves, held from the outside."""

from __future__ import annotations

import itertools

import pytest

from outlast.core import lifecycle
from outlast.core.lifecycle import FINAL, TASK_MOVES, IllegalMove, Verb, transition, verb_for
from outlast.core.session import Status

ALLOWED = {
    ("queued", "claim", "running"),
    ("running", "succeed", "succeeded"),
    ("running", "fail", "failed"),
    ("running", "time_out", "timed_out"),
    ("running", "requeue", "queued"),
    ("queued", "cancel", "cancelled"),
    ("running", "cancel", "cancelled"),
    ("queued", "lose", "lost"),
    ("running", "lose", "lost"),
    ("lost", "recover", "succeeded"),
    ("lost", "recover", "failed"),
    ("lost", "recover", "timed_out"),
    ("lost", "recover", "cancelled"),
}


def test_the_table_is_what_was_promised() -> None:
    """Written out a second time on purpose: a change of the table must be meant."""
    rows = {(s.value, m.verb.value, t.value) for m in TASK_MOVES.values() for s in m.sources for t in m.targets}
    assert rows == ALLOWED


def test_no_verb_but_recover_leaves_an_end() -> None:
    for verb, move in TASK_MOVES.items():
        left = set(move.sources) & FINAL
        assert left == ({Status.LOST} if verb is Verb.RECOVER else set())


@pytest.mark.parametrize(("verb", "target"), itertools.product(TASK_MOVES, Status))
def test_a_transition_comes_from_the_table_only(verb: Verb, target: Status) -> None:
    if target in TASK_MOVES[verb].targets:
        assert transition("t1", verb, 1.0, target=target).sources == TASK_MOVES[verb].sources
    else:
        with pytest.raises(IllegalMove):
            transition("t1", verb, 1.0, target=target)


def test_create_moves_nothing() -> None:
    with pytest.raises(IllegalMove):
        transition("t1", Verb.CREATE, 1.0)


def test_every_end_has_its_verb_and_nothing_else_has() -> None:
    assert {s for s in Status if s.final} == set(FINAL)
    for status in Status:
        if status in FINAL:
            assert status in TASK_MOVES[verb_for(status)].targets
        else:
            with pytest.raises(IllegalMove):
                verb_for(status)


def test_the_chart_draws_every_row() -> None:
    drawn = lifecycle.chart()
    for source, verb, target in ALLOWED:
        assert f"{source} --> {target}: {verb}\n" in drawn
