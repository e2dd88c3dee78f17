"""What every command is given: its values, the configuration and a client, each made when first asked for."""

from __future__ import annotations

import os
from typing import NamedTuple

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.surfaces.cli.output import note, print_json, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from outlast.client import Client
    from outlast.client.connection import Placed
    from outlast.config import Config, Paths

    GatewayRunner = Callable[..., int]
    WorkerRunner = Callable[..., int]
    StoreReader = Callable[[Config, str, str | None, dict[str, Any], str | None], dict[str, Any]]


class Place(NamedTuple):
    """Where everything is, without the settings it goes by."""

    paths: Paths


class Call:
    """One run of one command."""

    def __init__(
        self,
        values: dict[str, Any],
        run_gateway: GatewayRunner | None = None,
        config: Config | None = None,
        answer_offline: StoreReader | None = None,
        run_worker: WorkerRunner | None = None,
    ) -> None:
        self.values = values
        self.run_gateway = run_gateway
        self.answer_offline = answer_offline
        self.run_worker = run_worker
        self.json = bool(values.get("json"))
        self._config = config
        self._place: Placed | None = None
        self._wrong: BadInput | None = None
        self._client: Client | None = None
        self._quiet: Client | None = None

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # an option's value has the type its kind gives it
        """Return the value of an option or argument."""
        return self.values[name]

    @property
    def config(self) -> Config:
        """The settings in force; raises BadInput when the config file is wrong."""
        if self._config is None:
            from outlast.config import load

            self._config = load(os.environ)
        return self._config

    def use(self, config: Config) -> None:
        """Go by these settings, whatever the config file says."""
        self._config = self._place = config

    @property
    def paths(self) -> Paths:
        """Where everything is; whatever the settings are, this does not fail."""
        return self._reached().paths

    @property
    def place(self) -> Placed:
        """What a gateway is found or started by.

        With settings that are wrong the paths alone, as long as a gateway runs that goes on as before; else raises
        BadInput, since none could be started.
        """
        from outlast.client.start import listening

        place = self._reached()
        if place is not self._config and self.gateway is None and not listening(place):
            return self.config  # raises what is wrong with it
        self._warn()
        return place

    def _reached(self) -> Placed:
        """Return the settings, or where they cannot be read the paths alone."""
        if self._place is None:
            try:
                self._place = self.config
            except BadInput as wrong:
                from outlast.config import find_paths

                self._place = Place(find_paths(os.environ))
                self._wrong = wrong
        return self._place

    def _warn(self) -> None:
        """Say once what is wrong with the settings that this is done without; JSON stays alone."""
        wrong, self._wrong = self._wrong, None
        if wrong is not None and not self.json:
            note(f"{safe(wrong.message)}; until that is mended things go on as before, and no gateway can start")

    @property
    def gateway(self) -> str | None:
        """The address of another gateway, when one was named."""
        return self.values.get("gateway") or os.environ.get("OUTLAST_GATEWAY") or None

    @property
    def requester(self) -> str | None:
        """For whom the calls are made: as ``--as`` says, else as the environment does, where an agent's turn has it.

        None is the operator. Commands without ``--as`` are about the installation, which is nobody's own.
        """
        if "requester" not in self.values:
            return None
        named: str | None = self.values["requester"]
        return own_requester() if named is None else named

    @property
    def client(self) -> Client:
        """A client that starts the gateway of this home when it must."""
        if self._client is None:
            self._client = self.new_client()
        return self._client

    def new_client(self, *, autostart: bool = True) -> Client:
        """Make another client, for a second connection or one that must not start a gateway."""
        from outlast.client import Client

        place = self.place if autostart else self._reached()
        self._warn()
        return Client(
            place,
            gateway=self.gateway,
            token=os.environ.get("OUTLAST_TOKEN"),
            requester=self.requester,
            autostart=autostart,
        )

    def read(self, act: str, path: str, name: str | None = None, /, **query: object) -> dict[str, Any]:
        """Ask a question: the gateway when one runs, else the store itself; a gateway is never started for it.

        ``act`` and ``name`` say the same to the store as ``path`` to the gateway. Values that are None are left out.
        """
        from outlast.client import NotRunning

        if self._quiet is None:
            _ = self.place  # without a gateway the store is asked, which takes settings that are right
            self._quiet = self.new_client(autostart=False)
        try:
            return self._quiet.get(path, **query)
        except NotRunning:
            if self.gateway is not None or self.answer_offline is None:
                raise
        return self.offline(act, name, **query)

    def offline(self, act: str, name: str | None = None, /, **query: object) -> dict[str, Any]:
        """Ask the store itself, for the requester of the line; raises the same errors as the gateway would."""
        if self.answer_offline is None:
            raise GatewayTrouble("this entry point cannot read the store", hint="outlast gateway start")
        return self.answer_offline(self.config, act, name, given(**query), self.requester)

    def answer(self, result: dict[str, Any], human: Callable[[dict[str, Any]], None]) -> None:
        """Print a result as JSON or in words."""
        if self.json:
            print_json(result)
        else:
            human(result)


def own_requester() -> str | None:
    """Return for whom everything is done that is done here: an agent's turn says so in its environment."""
    return os.environ.get("OUTLAST_REQUESTER") or None


def session_path(session: str, action: str = "") -> str:
    """The path of a session, or of one of its actions."""
    from outlast.client import quote

    return f"/v1/sessions/{quote(session)}{'/' + action if action else ''}"


def task_path(lookup: str, action: str = "") -> str:
    """The path of a task, or of one of its actions."""
    from outlast.client import quote

    return f"/v1/tasks/{quote(lookup)}{'/' + action if action else ''}"


def given(**fields: object) -> dict[str, object]:
    """A request body of the fields that were given (None is not)."""
    return {name: value for name, value in fields.items() if value is not None}


def milliseconds(seconds: float | None) -> int | None:
    """Whole milliseconds of a span in seconds."""
    return None if seconds is None else round(seconds * 1000)
