"""The one program that runs flow files: it reads the checked file off its record, and interprets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from outlast.core.flow import FILE_HANDLER
from outlast.flows.context import FlowContext
from outlast.flows.files.definition import Definition
from outlast.flows.files.interpret import run_file


class FileProgram:
    """Runs flow files, whichever they are."""

    async def run(self, context: FlowContext, given: Mapping[str, Any]) -> Any:
        """Run the file on record and return its outputs. Raises its Failure, which names the step."""
        definition = msgspec.convert(given["definition"], Definition)
        base = str(given.get("workdir") or "/")
        return await run_file(context, definition, given.get("args") or {}, base_dir=base)


FILE_PROGRAMS = {FILE_HANDLER: FileProgram()}
"""What every gateway serves."""
