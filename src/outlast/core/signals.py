"""Names and numbers of signals, from a table: the ground floor asks no operating system.

The numbers are those of Linux on x86, Arm, RISC-V, POWER and s390 with glibc's real-time range (34 to 64).
"""

from __future__ import annotations

from outlast.core.errors import BadInput

# fmt: off
_NAMES = (
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
    "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
    "WINCH", "IO", "PWR", "SYS",
)
# fmt: on
_ALIASES = {"IOT": 6, "CLD": 17, "POLL": 29}
_RT_MIN, _RT_MAX = 34, 64
_RT_MIDDLE = 49

SIGINT = 2
SIGKILL = 9
SIGTERM = 15


def _table() -> dict[int, str]:
    names = {number: f"SIG{name}" for number, name in enumerate(_NAMES, start=1)}
    for number in range(_RT_MIN, _RT_MAX + 1):
        above, below = number - _RT_MIN, _RT_MAX - number
        if number <= _RT_MIDDLE:
            names[number] = f"SIGRTMIN+{above}" if above else "SIGRTMIN"
        else:
            names[number] = f"SIGRTMAX-{below}" if below else "SIGRTMAX"
    return names


_NAME_OF = _table()
_NUMBER_OF = (
    {name: number for number, name in _NAME_OF.items()}
    | {f"SIG{name}": number for name, number in _ALIASES.items()}
    | {f"SIGRTMIN+{n - _RT_MIN}": n for n in range(_RT_MIN, _RT_MAX + 1)}
    | {f"SIGRTMAX-{_RT_MAX - n}": n for n in range(_RT_MIN, _RT_MAX + 1)}
)


def parse_signal(signal: str | int) -> int:
    """Return the number of ``"HUP"``, ``"SIGHUP"``, ``"RTMIN+1"``, ``1`` or ``"1"``; letters in any case.

    Raises `BadInput` with the code ``bad_signal``, also for 0, which sends nothing, and for 32 and 33, which
    the C library keeps for itself.
    """
    number: int | None = None
    if isinstance(signal, str):
        if signal.isascii() and signal.isdigit() and len(signal) <= 2:
            number = int(signal)
        elif signal.isascii():
            name = signal.upper()
            number = _NUMBER_OF.get(name if name.startswith("SIG") else f"SIG{name}")
    elif not isinstance(signal, bool):
        number = signal
    if number not in _NAME_OF:
        shown = repr(signal) if len(str(signal)) <= 40 else "that"
        raise BadInput(
            f"{shown} is not a signal",
            code="bad_signal",
            hint="use a name such as TERM, SIGHUP or RTMIN+1, or a number from 1 to 64",
        )
    return number


def signal_name(number: int) -> str:
    """Return ``"SIGHUP"`` for 1; a number without a name comes back as ``"SIG32"``: every status shows."""
    return _NAME_OF.get(number, f"SIG{number}")
