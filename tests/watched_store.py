"""A real store that counts what is asked of it, says when it is at rest, and is in trouble when a test wants it."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from typing import Any

from outlast.core.errors import GatewayTrouble


def trouble(code: str = "store_unreachable") -> GatewayTrouble:
    """A trouble that may pass by itself."""
    return GatewayTrouble("the store is out of reach", code=code)


class WatchedStore:
    """Passes everything on to ``inner``.

    ``calls`` counts acts and questions by name. A name in ``failing`` raises that error instead (``"*"``: every one
    but opening and closing). A name in ``gates`` waits for its event first, one in ``after`` with its answer, so that a
    test can act in between.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.after: dict[str, asyncio.Event] = {}
        self._busy = 0
        self._done = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def watched(*args: Any, **kwargs: Any) -> Any:
            return await self._run(name, method, args, kwargs)

        return watched

    async def _run(self, name: str, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.calls[name] += 1
        if name in self.gates:
            await self.gates[name].wait()
        error = self.failing.get(name) or (self.failing.get("*") if name not in ("open", "close") else None)
        if error is not None:
            raise error.with_traceback(None)
        self._busy += 1
        try:
            answer = await method(*args, **kwargs)
        finally:
            self._busy -= 1
            self._done.set()
        if name in self.after:
            await self.after[name].wait()
        return answer

    async def at_rest(self) -> None:
        """Return when nobody is asking anything and everybody who can run has run."""
        while True:
            for _ in range(30):
                await asyncio.sleep(0)
            if not self._busy:
                return
            self._done.clear()
            await self._done.wait()
