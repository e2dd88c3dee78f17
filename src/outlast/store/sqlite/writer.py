"""The one thread that writes to the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import groupby
from typing import Any

import apsw

from outlast.core.errors import GatewayTrouble
from outlast.store.acts import BROUGHT
from outlast.store.base import Change
from outlast.store.gather import Act, Gatherer, Settled
from outlast.store.registry import TAKEN
from outlast.store.sqlite.connection import connect, explain
from outlast.store.sqlite.runs import runs_of
from outlast.store.sqlite.together import Together, is_plain
from outlast.store.steps import Step, Steps


class Writer(Gatherer):
    """Runs batches of acts, each batch one transaction. Raises apsw.Error when the file cannot be opened."""

    def __init__(
        self,
        path: str,
        sql: dict[str, str],
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[Change], None],
        ring: Callable[[int], None],
    ) -> None:
        super().__init__(path, loop, changed)
        self._ring = ring
        self._broken: GatewayTrouble | None = None
        self._connection = connect(path, writer=True)
        self._execute = self._connection.cursor().execute
        runs = runs_of(self._connection, sql)
        self._statements = {name: (run, BROUGHT.get(name, 0)) for name, run in runs.items()}
        self._together = Together(self._connection, sql["checkpoint"])
        self.start()

    def tell_others(self, brought: int) -> None:
        """Ring the bells of other processes."""
        self._ring(brought)

    def let_go(self) -> None:
        """Close the file."""
        self._connection.close()

    def write(self, batch: list[Act]) -> Settled:
        """Run a batch in one transaction; with nets only when it does not go through without."""
        self.brought = 0
        if self._broken is not None:
            return [(act.future, None, self._broken) for act in batch]
        try:
            self._execute("BEGIN IMMEDIATE")
            try:
                settled = self._drive_all(batch)
            except Exception as error:
                self._rollback()
                return self._write_apart(batch) if len(batch) > 1 else self._fail(batch, error)
            self.near("before", batch)
            self._execute("COMMIT")
        except apsw.Error as error:
            self._rollback()
            return self._fail(batch, error)
        return settled

    def _drive_all(self, batch: list[Act]) -> Settled:
        settled: Settled = []
        for plain, some in groupby(batch, is_plain):
            acts = list(some)
            if plain and len(acts) > 1 and self._together.write(acts):
                self.brought |= BROUGHT["checkpoint"]
                settled += [(act.future, True, None) for act in acts]
            else:
                settled += [(act.future, self._drive(act), None) for act in acts]
        return settled

    def _drive(self, act: Act) -> Any:  # noqa: ANN401
        steps: Steps[Any] = act.do(*act.args)
        statements = self._statements
        brought = 0
        step: Step = ("", {})
        try:
            wanted = next(steps)
            while True:
                answers = []
                for step in wanted:
                    run, brings = statements[step[0]]
                    answers.append(run(step[1]))
                    brought |= brings
                wanted = steps.send(answers)
        except StopIteration as end:
            self.brought |= brought
            return end.value
        except apsw.ConstraintError as error:
            known = TAKEN.get(step[0])
            if known is not None and f": {known.column}" in str(error):
                raise known.error(step[1]["id"]) from error
            raise

    def _write_apart(self, batch: list[Act]) -> Settled:
        """Run a batch again, each act in a savepoint. Raises apsw.Error when the transaction itself is lost."""
        self._execute("BEGIN IMMEDIATE")
        settled: Settled = []
        for act in batch:
            self._execute("SAVEPOINT act")
            try:
                settled.append((act.future, self._drive(act), None))
            except Exception as error:
                if not self._connection.in_transaction:
                    raise  # SQLite gave up the whole transaction (a full disk does that)
                self._execute("ROLLBACK TO act")
                settled.append((act.future, None, self._meaning(error)))
            self._execute("RELEASE act")
        self._execute("COMMIT")
        return settled

    def _rollback(self) -> None:
        self.brought = 0
        if self._connection.in_transaction:
            try:
                self._execute("ROLLBACK")
            except apsw.Error:
                pass  # the error that led here is the one to tell

    def _fail(self, batch: list[Act], error: Exception) -> Settled:
        meaning = self._meaning(error)
        return [(act.future, None, meaning) for act in batch]

    def _meaning(self, error: Exception) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        meaning = explain(error, self.place)
        if meaning.code == "store_damaged":
            self._broken = meaning  # writing on would make it worse
        return meaning
