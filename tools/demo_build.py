"""A real build for the demo: byte-compiles the standard library, a line for each module and level.

Every line is numbered, so that one that is missing, doubled or out of order is seen; the last one gives the
total. It goes on in rounds until it has run for SECONDS. One of its sources is broken on purpose, so that it
exits with 7.
"""

from __future__ import annotations

import py_compile
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

FAILED = 7


def sources(broken: Path) -> Iterator[tuple[Path, int]]:
    """Endless rounds over (source, optimisation level), the broken one first in each round."""
    library = Path(sysconfig.get_path("stdlib"))
    modules = [p for p in sorted(library.rglob("*.py")) if "site-packages" not in p.parts and "test" not in p.parts]
    while True:
        for level in (0, 1, 2):
            for source in [broken, *modules]:
                yield source, level


def main(target: Path, seconds: float) -> int:
    """Build into ``target`` for at least ``seconds``; return the exit code."""
    started = time.monotonic()
    broken = target / "broken.py"
    broken.write_text("def f(:\n")
    number = failed = 0
    for source, level in sources(broken):
        if time.monotonic() - started >= seconds:
            break
        number += 1
        try:
            py_compile.compile(str(source), str(target / f"{source.stem}.{level}.pyc"), optimize=level, doraise=True)
            print(f"[{number}] compiled {source.name} at level {level}", flush=True)
        except py_compile.PyCompileError:
            failed += 1
            print(f"[{number}] FAILED {source.name} at level {level}", flush=True)
    print(f"total {number} lines, {failed} failed", flush=True)
    print(f"the build of {target.name} failed", file=sys.stderr, flush=True)
    return FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
