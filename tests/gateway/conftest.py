"""Fixtures of the gateway tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crashing import Node
from flow_crashing import FlowNode
from running import Gateway


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A home without a gateway; `start` starts one."""
    gateway = Gateway()
    yield gateway
    gateway.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """A home whose gateways may be killed, over each kind of store."""
    node = Node("" if request.param == "sqlite" else request.getfixturevalue("pg_database"))
    yield node
    node.close()


@pytest.fixture(params=["postgresql", "sqlite"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Two homes that share one database (or one file)."""
    shared = (
        request.getfixturevalue("pg_database") if request.param == "postgresql" else f"sqlite://{tmp_path}/shared.db"
    )
    pair = Node(shared), Node(shared)
    yield pair
    for node in pair:
        node.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def flows(request: pytest.FixtureRequest) -> Iterator[FlowNode]:
    """A home with workers for flows that may be killed, over each kind of store."""
    node = FlowNode("" if request.param == "sqlite" else request.getfixturevalue("pg_database"))
    yield node
    node.close()


LONG = ("test_flow_crash.py", "test_flow_crash_gateway.py", "test_agent_crash.py", "test_spawn_crash.py")
"""Every point of every kind of step, over both stores: in a usual run the one store, the other in the long runs."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in LONG and "[postgresql" in item.nodeid:
            item.add_marker(pytest.mark.soak)
