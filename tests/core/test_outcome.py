"""What the end of a session means for its task, for every cause there is."""

from __future__ import annotations

import pytest

from outlast.core.outcome import Outcome, detail_of, outcome_of
from outlast.core.session import Cause, Exit, Status

EXPECTED = {
    Cause.EXIT: (Status.FAILED, True),
    Cause.SIGNAL: (Status.FAILED, True),
    Cause.TIMEOUT: (Status.TIMED_OUT, True),
    Cause.IDLE_TIMEOUT: (Status.TIMED_OUT, True),
    Cause.OPERATOR: (Status.CANCELLED, False),
    Cause.PARENT: (Status.CANCELLED, False),
    Cause.DEADLINE: (Status.TIMED_OUT, False),
    Cause.OUT_OF_MEMORY: (Status.FAILED, True),
    Cause.SPAWN_ERROR: (Status.FAILED, True),
    Cause.HOST_RESTART: (Status.LOST, False),
    Cause.EVIDENCE_GONE: (Status.LOST, False),
    Cause.LEASE_EXPIRED: (Status.LOST, False),
    Cause.REPORTED: (Status.FAILED, True),
    Cause.ERROR: (Status.FAILED, True),
    Cause.REJECTED: (Status.CANCELLED, False),
    Cause.EXPIRED: (Status.CANCELLED, False),
}


def end(cause: Cause = Cause.EXIT, **fields: object) -> Exit:
    return Exit(**{"cause": cause, "at": 100.0, **fields})


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_status_and_says_whether_to_try_again(cause: Cause) -> None:
    """Work that somebody called off, or of which nobody knows, is never started a second time by itself."""
    outcome = outcome_of(end(cause))
    assert (outcome.status, outcome.may_retry) == EXPECTED[cause]
    assert (outcome.cause, outcome.at) == (cause, 100.0)


@pytest.mark.parametrize("cause", [Cause.EXIT, Cause.REPORTED])
def test_code_zero_is_success_and_no_error(cause: Cause) -> None:
    outcome = outcome_of(end(cause, code=0))
    assert (outcome.status, outcome.error, outcome.may_retry) == (Status.SUCCEEDED, None, False)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (end(code=3), "exit code 3"),
        (end(Cause.SIGNAL, signal=11), "signal SIGSEGV"),
        (end(Cause.OPERATOR, signal=15), "signal SIGTERM"),
        (end(Cause.TIMEOUT, signal=9), "signal SIGKILL"),
        (end(Cause.OPERATOR, code=0), "exit code 0"),
        (end(Cause.SPAWN_ERROR, code=127, note="No such file"), "No such file"),
        (end(Cause.OUT_OF_MEMORY, signal=9), "out_of_memory"),
        (end(Cause.EVIDENCE_GONE, at=None, note="process 7 is gone"), "process 7 is gone"),
        (end(Cause.HOST_RESTART, at=None), "host_restart"),
        (end(), None),
    ],
)
def test_the_error_says_what_was_seen(given: Exit, error: str | None) -> None:
    assert outcome_of(given).error == error


@pytest.mark.parametrize(
    ("at", "deadline", "cause"),
    [
        (100.0, 100.0, Cause.DEADLINE),
        (107.0, 100.0, Cause.DEADLINE),
        (99.2, 100.0, Cause.DEADLINE),
        (98.9, 100.0, Cause.TIMEOUT),
        (100.0, None, Cause.TIMEOUT),
        (None, 100.0, Cause.TIMEOUT),
    ],
)
def test_a_limit_that_came_from_the_deadline_is_told_as_the_deadline(
    at: float | None, deadline: float | None, cause: Cause
) -> None:
    """The keeper only knows limits; a task that ran into its deadline is not tried again, one too slow may be."""
    outcome = outcome_of(end(Cause.TIMEOUT, at=at, signal=15), deadline_at=deadline)
    assert (outcome.cause, outcome.status) == (cause, Status.TIMED_OUT)
    assert outcome.may_retry is (cause is Cause.TIMEOUT)


@pytest.mark.parametrize("cause", [Cause.EXIT, Cause.OPERATOR, Cause.IDLE_TIMEOUT])
def test_other_ends_near_the_deadline_keep_their_cause(cause: Cause) -> None:
    assert outcome_of(end(cause, code=1), deadline_at=100.0).cause is cause


def test_the_detail_holds_what_is_known_and_nothing_else() -> None:
    full = end(
        Cause.SIGNAL, signal=9, produced=12, user_seconds=0.5, system_seconds=0.25, max_rss=4096, leftovers=2, note="n"
    )  # fmt: skip
    assert detail_of(full) == {
        "exitSignal": "SIGKILL", "producedBytes": 12, "userSeconds": 0.5, "systemSeconds": 0.25, "maxRssBytes": 4096,
        "leftovers": 2, "note": "n",
    }  # fmt: skip
    assert detail_of(end(code=0)) == {"exitCode": 0, "producedBytes": 0}


def test_a_summary_is_passed_on() -> None:
    assert outcome_of(end(code=0), summary="built").summary == "built"
    assert Outcome(status=Status.LOST, cause=Cause.EVIDENCE_GONE).summary is None
