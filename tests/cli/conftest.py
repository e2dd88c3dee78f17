"""A home of its own for every test, and a scripted gateway where the client looks for it."""

import os
import shutil
import tempfile
from types import SimpleNamespace

import pytest
from cli_fakes import FakeGateway
from cli_live import Live

from outlast.surfaces.cli import main as cli


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
def outlast(home, monkeypatch, capfdbinary):
    """Run a line in this process against the scripted gateway: (exit code, stdout, stderr)."""
    monkeypatch.delenv("OUTLAST_GATEWAY", raising=False)
    monkeypatch.delenv("OUTLAST_TASK_ID", raising=False)
    monkeypatch.delenv("OUTLAST_REQUESTER", raising=False)
    monkeypatch.setattr("outlast.config.load", lambda _environ: home)
    # Whatever is wrong with the scripted one, no real gateway is started, which would not be in this home.
    monkeypatch.setattr("outlast.client.start.ensure", lambda _config: False)

    def run(*words, store=None):
        code = cli.run(list(words), None, store)
        out, err = (data.decode("utf-8", "surrogateescape") for data in capfdbinary.readouterr())
        return code, out, err

    return run


@pytest.fixture
def down(outlast, home):
    """Run a line while no gateway listens, with a store that notes what it is asked: (line result, questions)."""

    def run(*words, answers=()):
        asked, left = [], list(answers)

        def store(config, act, name, query, requester):
            assert config is home
            asked.append((act, name, query, requester))
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        result = outlast(*words, store=store)
        assert not os.path.exists(home.paths.log), "a gateway was started"
        return *result, asked

    return run


@pytest.fixture
def gateway(home):
    """A scripted gateway where the client looks for it."""
    fake = FakeGateway(home.paths.socket)
    yield fake
    fake.close()
