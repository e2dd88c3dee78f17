"""Checkpoints of many flows, written by one statement that is run many times: most of what a busy batch consists of."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
from msgspec.structs import astuple

from outlast.store.flow_acts import checkpoint
from outlast.store.flow_rows import STEP_COLUMNS
from outlast.store.gather import Act
from outlast.store.statements import PARAMETER, numbered


def is_plain(act: Act) -> bool:
    """True for an act that records one step and renews no lease."""
    return act.do is checkpoint and act.args[3] is None and len(act.args[2]) == 1


class Together:
    """Writes plain checkpoints over one connection, in the transaction that is open there."""

    def __init__(self, connection: apsw.Connection, text: str) -> None:
        names = tuple(dict.fromkeys(PARAMETER.findall(text)))
        assert names == (*STEP_COLUMNS, "claim_id"), names
        self._sql = numbered(text).sql
        self._run = connection.cursor().executemany
        self._changes = connection.total_changes

    def write(self, acts: Sequence[Act]) -> bool:
        """Write them in order. False when not every one of them has changed a row: then each is to be asked by itself.

        What has been written meanwhile may be written once more.
        """
        before = self._changes()
        self._run(self._sql, [(*astuple(act.args[2][0]), act.args[1]) for act in acts])
        return self._changes() - before == len(acts)
