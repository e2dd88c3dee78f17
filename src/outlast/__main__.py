"""Hand over to the command line; introduce it to the gateway it may have to run, and to the ledger without one."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from outlast.config import Config


def _run_gateway(config: Config, *, listen: str | None, ready_fd: int | None, allow_remote: bool = False) -> int:
    from outlast.gateway.app import run
    from outlast.surfaces.http.server import HttpServer

    return run(config, face=HttpServer, listen=listen, ready_fd=ready_fd, allow_remote=allow_remote)


def _run_worker(config: Config, sources: list[str], **rules: Any) -> int:  # noqa: ANN401  # as the command has them
    from outlast.gateway.flow_worker import run

    return run(config, sources, **rules)


def _answer_offline(
    config: Config, act: str, name: str | None, query: dict[str, Any], requester: str | None
) -> dict[str, Any]:
    from outlast.gateway.offline import answer

    return answer(config, act, name, query, requester)


def main() -> None:
    """Run ``outlast`` with the words of this process and exit with its code."""
    from outlast.surfaces.cli.main import run

    sys.exit(run(sys.argv[1:], _run_gateway, _answer_offline, _run_worker))


if __name__ == "__main__":
    main()
