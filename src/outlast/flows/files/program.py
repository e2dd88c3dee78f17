"""The one program that runs every flow file: what it is started with holds the whole checked definition.

So a flow goes on as it began, also when its file has been changed or removed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from outlast.core.flow import FILE_HANDLER
from outlast.flows.files.context import Context
from outlast.flows.files.definition import Definition
from outlast.flows.files.interpret import run_file


def given_of(definition: Definition, args: Mapping[str, Any], workdir: str) -> dict[str, Any]:
    """Return what a flow is started with, as JSON values. ``workdir`` is absolute: commands run there."""
    return {"definition": msgspec.to_builtins(definition), "args": dict(args), "workdir": workdir}


class FileProgram:
    """Runs a flow file from what it was started with."""

    async def run(self, context: Context, given: Mapping[str, Any]) -> object:
        """Run it and return its result. Raises `Failure` when it failed."""
        definition = msgspec.convert(given["definition"], Definition)
        return await run_file(context, definition, given["args"], base_dir=given["workdir"])


FILE_PROGRAMS = {FILE_HANDLER: FileProgram()}
"""What every gateway serves."""
