"""A home of its own for every test, and a scripted gateway where the client looks for it."""

import os
import shutil
import tempfile
from types import SimpleNamespace

import pytest
from cli_fakes import FakeGateway
from cli_live import Live


@pytest.fixture
def short_dir():
    """A directory whose path leaves room for a socket's name."""
    path = tempfile.mkdtemp(prefix="ol-", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def home(short_dir):
    """A configuration of a home of its own, as the client needs it."""
    home = os.path.join(short_dir, "home")
    os.mkdir(home, 0o700)
    paths = SimpleNamespace(
        home=home,
        run=short_dir,
        socket=os.path.join(short_dir, "gateway.sock"),
        lock=os.path.join(home, "gateway.lock"),
        start_lock=os.path.join(home, "start.lock"),
        log=os.path.join(home, "gateway.log"),
        token=os.path.join(home, "token"),
        config_file=os.path.join(home, "config.toml"),
        sessions=os.path.join(home, "sessions"),
        open=os.path.join(home, "open"),
    )
    return SimpleNamespace(paths=paths)


@pytest.fixture
def own(short_dir):
    """A home for one test alone, with no gateway yet."""
    live = Live(short_dir)
    yield live
    live.close()


@pytest.fixture
def gateway(home):
    """A scripted gateway where the client looks for it."""
    fake = FakeGateway(home.paths.socket)
    yield fake
    fake.close()
