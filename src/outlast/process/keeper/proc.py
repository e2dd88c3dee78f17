"""Reading /proc: who is who, who descends from whom, and what a process waits for.

A process is named by pid, start ticks and boot id together, because a pid alone is reused.
"""

from __future__ import annotations

import os

_STDIN_CALLS = {
    "x86_64": {"read": 0, "readv": 19, "select": 23, "pselect6": 270},
    "aarch64": {"read": 63, "readv": 65, "select": -1, "pselect6": 72},
}.get(os.uname().machine, {})


def boot_id() -> str:
    """Return the kernel's name for this boot, or "" where there is none."""
    return _read("/proc/sys/kernel/random/boot_id").strip()


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def is_same(pid: int, ticks: int, boot: str) -> bool:
    """True when ``pid`` is alive (not a zombie) and is the very process that was noted."""
    if boot != boot_id():
        return False
    fields = _stat(pid)
    return bool(fields) and int(fields[19]) == ticks and fields[0] not in "ZX"


def name_of(pid: int) -> str:
    """Return the short name of a process, or "?"."""
    return _read(f"/proc/{pid}/comm").rstrip("\n") or "?"


def is_named(pid: int, name: str) -> bool:
    """True when a process of that short name lives at ``pid``: a strong hint, not a proof."""
    return name_of(pid) == name and state_of(pid) not in ("Z", "X")


def state_of(pid: int) -> str:
    """Return the state letter of a process ("R", "S", "Z" …), or "" when it is gone."""
    fields = _stat(pid)
    return fields[0] if fields else ""


def exit_of_zombie(pid: int, ticks: int) -> int | None:
    """Return the wait status of a process that has ended and that nobody has reaped yet; None when it is not that.

    The kernel shows a 0 to those who may not know, so only what is surely ours to read is believed.
    """
    fields = _stat(pid)
    if len(fields) < 50 or fields[0] != "Z" or int(fields[19]) != ticks:
        return None
    if os.geteuid() != 0:
        line = _read(f"/proc/{pid}/status").partition("\nUid:")[2].partition("\n")[0]
        if set(line.split()) != {str(os.geteuid())}:
            return None
    return int(fields[49])


def descendants(root: int) -> list[int]:
    """Return all living descendants of ``root``, nearest first. Zombies are left out but their children are not."""
    found: list[int] = []
    level = [root]
    while level:
        below: list[int] = []
        for pid in level:
            below.extend(children(pid))
        found.extend(below)
        level = below
    return [pid for pid in found if state_of(pid) not in ("", "Z", "X")]


def marked(session_id: str, since: int) -> list[int]:
    """Return living processes that carry ``OUTLAST_SESSION_ID=<id>`` in their environment.

    ``since`` (start ticks) leaves out whatever is older than the session. The way to a tree whose parent was killed.
    """
    mark = f"OUTLAST_SESSION_ID={session_id}".encode()
    found = []
    for pid in _pids():
        fields = _stat(pid)
        if not fields or int(fields[19]) < since or fields[0] in "ZX":
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


def in_session(sid: int, since: int) -> list[int]:
    """Return living processes of one kernel session that are not older than ``since`` (start ticks)."""
    found = []
    for pid in _pids():
        fields = _stat(pid)
        if fields and int(fields[3]) == sid and int(fields[19]) >= since and fields[0] not in "ZX":
            found.append(pid)
    return found


def reads_stdin(pid: int) -> bool:
    """True when a process sleeps in the kernel waiting for its standard input.

    Seen from the system call it is in: a read of descriptor 0, or a select over descriptor 0 alone (line editors).
    """
    fields = _read(f"/proc/{pid}/syscall").split()
    if len(fields) < 2 or not fields[0].isdigit():
        return False
    call, first = int(fields[0]), int(fields[1], 16)
    if call in (_STDIN_CALLS.get("read"), _STDIN_CALLS.get("readv")):
        return first == 0
    if call in (_STDIN_CALLS.get("select"), _STDIN_CALLS.get("pselect6")):
        return first == 1
    return False


def killed_for_memory(pid: int) -> bool:
    """True when the kernel's own log names ``pid`` as a victim of the out-of-memory killer.

    Readable by root as a rule; False when it cannot be read, so that nothing is guessed.
    """
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    mark = f"Killed process {pid} ".encode()
    try:
        while True:
            try:
                if mark in os.read(fd, 8192):
                    return True
            except BrokenPipeError:  # this record was overwritten while we read: the next one follows
                continue
            except OSError:
                return False
    finally:
        os.close(fd)


def children(pid: int) -> list[int]:
    """Return the direct children of a process, zombies included."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    out: list[int] = []
    for thread in threads:
        out.extend(int(word) for word in _read(f"/proc/{pid}/task/{thread}/children").split())
    return out


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state letter on: the name before it may hold spaces and parentheses."""
    text = _read(f"/proc/{pid}/stat")
    return text[text.rfind(")") + 2 :].split() if text else []


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    parts: list[bytes] = []
    try:
        while part := os.read(fd, 65536):  # the kernel hands such files out a page at a time
            parts.append(part)
    except OSError:
        return ""
    finally:
        os.close(fd)
    return b"".join(parts).decode("utf-8", "surrogateescape")
