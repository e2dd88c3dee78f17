"""What the machine is and what its processes use, read from /proc."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from typing import NamedTuple

KIB = 1024


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def busy(seconds: float) -> float:
    """Share of all cores (0..1) that was busy during the next ``seconds``."""
    first = _jiffies()
    time.sleep(seconds)
    total, idle = (b - a for a, b in zip(first, _jiffies(), strict=True))
    return 1 - idle / total if total else 0.0


def _jiffies() -> tuple[int, int]:
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    return sum(fields), fields[3] + fields[4]


def wait_until_quiet(limit: float, patience: float) -> bool:
    """Wait until the load average falls below ``limit``; False after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while load() >= limit:
        if time.monotonic() > deadline:
            return False
        time.sleep(2)
    return True


def facts(folder: str) -> dict[str, str]:
    """What a reader needs to compare: cores, processor, kernel, Python, file system of ``folder``."""
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "files": f"{_file_system(folder)} at {folder}",
    }


def file_creation(folder: str, count: int = 50) -> float:
    """Seconds it takes to make a file in a new directory below ``folder``, the median of some.

    A start makes four entries. ext4 needs 20 µs for each, and 50 times that when very many files around it were
    deleted in the last minutes: then wait a little before you measure.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        times = []
        for n in range(count):
            began = time.perf_counter()
            os.close(os.open(f"{place}/{n}", os.O_CREAT | os.O_WRONLY, 0o600))
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(folder: str) -> str:
    best, kind = "", "?"
    with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, place, name, *_ = line.split()
            inside = folder == place or folder.startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(best):
                best, kind = place, name
    return kind


class Memory(NamedTuple):
    """Bytes of one process or of several together: resident, proportional share, and what is its alone."""

    rss: int
    pss: int
    uss: int

    def __add__(self, other: object) -> Memory:
        assert isinstance(other, Memory)
        return Memory(self.rss + other.rss, self.pss + other.pss, self.uss + other.uss)

    def __sub__(self, other: Memory) -> Memory:
        return Memory(self.rss - other.rss, self.pss - other.pss, self.uss - other.uss)


NOTHING = Memory(0, 0, 0)


def memory(pid: int) -> Memory:
    """What a process uses; nothing when it is gone."""
    found = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in found:
                    found[name] = int(rest.split()[0]) * KIB
    except (FileNotFoundError, ProcessLookupError):
        return NOTHING
    return Memory(found["Rss"], found["Pss"], found["Private_Clean"] + found["Private_Dirty"])


def memory_of(pids: list[int]) -> Memory:
    total = NOTHING
    for pid in pids:
        total += memory(pid)
    return total


def peak_rss(pid: int) -> int:
    """The most memory a process has had resident so far, in bytes; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * KIB
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


class Work(NamedTuple):
    """What a process has done so far, all its threads: context switches, clock ticks and nanoseconds of CPU."""

    switches: int
    ticks: int
    nanoseconds: int


def work(pid: int) -> Work:
    switches = ticks = nanoseconds = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        folder = f"/proc/{pid}/task/{thread}"
        with open(f"{folder}/status", encoding="utf-8", errors="replace") as file:
            switches += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
        with open(f"{folder}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        try:
            with open(f"{folder}/schedstat", encoding="ascii") as file:
                nanoseconds += int(file.read().split()[0])
        except OSError:
            pass
    return Work(switches, ticks, nanoseconds)


def comm(pid: int) -> str:
    """The short name of a process, "" when it is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def parent(pid: int) -> int:
    """The parent of a process, 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0
