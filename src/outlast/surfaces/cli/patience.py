"""Wait for a gateway without outstaying the reader of our output."""

from __future__ import annotations

import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from outlast.client import EventStream


def until_readable(what: int | EventStream, milliseconds: float) -> bool:
    """Wait until there is something to read; False when the time is over.

    Raises BrokenPipeError as soon as nobody reads our output any more: ``outlast tasks watch | head`` must end.
    """
    poll = select.poll()
    poll.register(what, select.POLLIN)
    output = _output()
    if output is not None:
        poll.register(output, 0)  # of itself it is told when the other end is closed
    ready = dict(poll.poll(milliseconds))
    if output is not None and output in ready:
        raise BrokenPipeError
    return bool(ready)


def _output() -> int | None:
    try:
        return sys.stdout.fileno()
    except (OSError, ValueError):  # there is none
        return None
