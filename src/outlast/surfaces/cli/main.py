"""Read the command line, run the command, and turn every outcome into an exit code.

0 to 255 from the command that was run; 2 bad input, 3 not found, 4 conflict, 5 refused, 6 gateway trouble
from outlast itself; 130 after Ctrl-C; 141 when the reader of the output went away.
"""

from __future__ import annotations

import os
import sys

from outlast.core.errors import BadInput, OutlastError, Refused
from outlast.surfaces.cli import output
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.parse import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from outlast.surfaces.cli.context import GatewayRunner, StoreReader, WorkerRunner
    from outlast.surfaces.cli.spec import Parsed

COMPLETE_VARIABLE = "_OUTLAST_COMPLETE"
INTERRUPTED, READER_GONE = 130, 141
MESSAGE_MAX = 2_000


def run(
    words: list[str],
    run_gateway: GatewayRunner | None = None,
    answer_offline: StoreReader | None = None,
    run_worker: WorkerRunner | None = None,
) -> int:
    """Run one command line (the words after ``outlast``) and return its exit code; never raises.

    ``run_gateway`` and ``run_worker`` run a gateway or a worker for flows in this process; ``answer_offline`` answers
    from the store while no gateway runs.
    """
    output.prepare()
    # Until the line is understood, this is how a mistake in it is reported.
    as_json = "--json" in words[: words.index("--")] if "--" in words else "--json" in words
    try:
        parsed = _understand(words, answer_offline)
        if isinstance(parsed, int):
            code = parsed
        else:
            as_json = parsed.values.get("json") or parsed.verb.words == ("tool",)
            code = _dispatch(parsed, run_gateway, answer_offline, run_worker)
        sys.stdout.flush()
    except OutlastError as error:
        code = _report(error, as_json)
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:  # whatever else can go wrong so was said in better words where it did
        what = "cannot write the output" if error.filename is None else f"cannot use {error.filename}"
        code = _report(Refused(f"{what}: {error.strerror or error}", code="cannot_write"), as_json)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except RecursionError:
        code = _report(BadInput("the input is nested too deeply"), as_json)
    _let_go()
    return code


def _understand(words: list[str], answer_offline: StoreReader | None) -> Parsed | int:
    """Read the line; an exit code when nothing is left to do (help was shown, say)."""
    if COMPLETE_VARIABLE in os.environ:
        from outlast.surfaces.cli.face import complete

        return complete(os.environ[COMPLETE_VARIABLE], answer_offline)
    parsed = parse(words)
    if parsed is None:
        from outlast.surfaces.cli.face import read

        return read(words)
    return parsed


def _dispatch(
    parsed: Parsed,
    run_gateway: GatewayRunner | None,
    answer_offline: StoreReader | None,
    run_worker: WorkerRunner | None,
) -> int:
    module_name, _, name = parsed.verb.run.partition(":")
    module = __import__(module_name, fromlist=[name])
    code = getattr(module, name)(Call(parsed.values, run_gateway, answer_offline=answer_offline, run_worker=run_worker))
    return code if isinstance(code, int) else 0


def _report(error: OutlastError, as_json: bool) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        pass  # which may be the very thing that is to be said
    try:
        if as_json:
            output.print_json(error.as_dict())
            sys.stdout.flush()
        else:
            first, *more = error.message.split("\n")
            sys.stderr.write(f"outlast: {output.brief(first, MESSAGE_MAX)}\n")
            for line in more:
                sys.stderr.write(f"  {output.brief(line, MESSAGE_MAX)}\n")
            for line in error.hint.split("\n") if error.hint else ():
                shown = output.brief(line, MESSAGE_MAX)
                sys.stderr.write(f"  {output.colour(shown, output.DIM, sys.stderr)}\n")
            sys.stderr.flush()
    except OSError:
        pass
    return error.exit_code


def _let_go() -> None:
    """Flush what is left; a reader that is gone must not become a traceback at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
