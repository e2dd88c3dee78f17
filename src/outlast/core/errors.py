"""Every error outlast raises on purpose, each with the caller's next act.

::

    OutlastError
    ├── BadInput            exit 2, HTTP 400   the request itself is wrong: change it
    ├── NotFound            exit 3, HTTP 404   nothing by that name: list, then ask again
    ├── Conflict            exit 4, HTTP 409   somebody was first, or the state forbids it
    ├── Refused             exit 5, HTTP 403   policy says no: ask the operator
    └── GatewayTrouble      exit 6, HTTP 503   outlast itself is in trouble: `outlast doctor`

``code`` is a stable word inside a family (``bad_pattern``, ``session_ended`` …); ``retryable`` says whether the
same request may succeed later without being changed.
"""

from __future__ import annotations


class OutlastError(Exception):
    """Base of all deliberate errors: a code, a sentence, and the next act as a hint."""

    exit_code = 1
    http_status = 500
    default_code = "error"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint

    def as_dict(self) -> dict[str, dict[str, str | None]]:
        """Return the wire form ``{"error": {"code", "message", "hint"}}``."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class BadInput(OutlastError):
    """The request is wrong as it stands."""

    exit_code = 2
    http_status = 400
    default_code = "bad_input"


class NotFound(OutlastError):
    """Nothing matches the name that was given."""

    exit_code = 3
    http_status = 404
    default_code = "not_found"


class Conflict(OutlastError):
    """The state of the thing forbids the act, or somebody else was first."""

    exit_code = 4
    http_status = 409
    default_code = "conflict"


class Refused(OutlastError):
    """Policy or permission says no."""

    exit_code = 5
    http_status = 403
    default_code = "refused"


class GatewayTrouble(OutlastError):
    """The gateway or its keeper cannot serve the request now."""

    exit_code = 6
    http_status = 503
    default_code = "gateway_trouble"
    retryable = True


FAMILIES: tuple[type[OutlastError], ...] = (BadInput, NotFound, Conflict, Refused, GatewayTrouble)
