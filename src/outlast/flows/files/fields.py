"""Every field a flow file may have: what it takes, what it is for, and its JSON Schema.

The reader knows a field from here, the schema is put together from here, and the reference page is written from here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from outlast.flows.files.definition import ATTEMPTS_DEFAULT, MAX_ITEMS_DEFAULT
from outlast.flows.files.tree import ITEMS_MAX

Schema = dict[str, Any]

NAME_MAX = 100
PROSE_MAX = 10_000
LINE_MAX = 100_000
"""Characters of a command line, a template or any other text that is put to use."""

CONVERSATION_MAX = 200
ENV_MAX = 200
ARGV_MAX = 1000
ATTEMPTS_MAX = 1000
PARALLEL_MAX = 256
ENUM_MAX = 200

ID = r"[A-Za-z0-9_-]{1,64}"
ARGUMENT_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
VARIABLE_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
AGENT_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
SIGNAL_NAME = r"[A-Za-z0-9_.-]{1,64}"

ACTS = ("run", "agent", "approval", "wait", "sleep", "flow")
"""What a step can do."""


class Field(NamedTuple):
    """One field. ``acts``: what a step must do to have it; empty for any."""

    name: str
    takes: str
    help: str
    schema: Schema
    acts: frozenset[str] = frozenset()


def text(max_length: int = LINE_MAX, min_length: int = 0) -> Schema:
    """A text; what YAML reads as a number or a boolean is taken as the text it is."""
    least: Schema = {"minLength": min_length} if min_length else {}
    return {"type": ["string", "number", "boolean"], "maxLength": max_length, **least}


def named(pattern: str) -> Schema:
    """A text of a certain form."""
    return {"type": ["string", "number", "boolean"], "pattern": f"^{pattern}$"}


def whole(low: int, high: int) -> Schema:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": low, "maximum": high}


def mapping(names: str, values: Schema, most: int) -> Schema:
    """Names of a certain form with values."""
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{names}$"},
        "additionalProperties": values,
        "maxProperties": most,
    }


def several(items: Schema, most: int, least: int = 0) -> Schema:
    """A list."""
    return {"type": "array", "items": items, "maxItems": most, **({"minItems": least} if least else {})}


def ref(name: str) -> Schema:
    """What stands under ``$defs``."""
    return {"$ref": f"#/$defs/{name}"}


SPAN: Schema = {"type": ["string", "number"], "maxLength": 100}
ANY: Schema = {}
VALUES: Schema = mapping(ARGUMENT_NAME, ANY, ITEMS_MAX)
ENVIRONMENT: Schema = mapping(VARIABLE_NAME, text(), ENV_MAX)
CONDITION: Schema = {"type": ["string", "boolean"], "maxLength": LINE_MAX}

_RUN = frozenset({"run"})
_AGENT = frozenset({"agent"})
_PLACED = frozenset({"run", "agent"})
_TIMED = frozenset({"run", "agent", "wait"})
_LISTED = frozenset({"run", "agent", "flow"})
_ASKED = frozenset({"approval"})
_FLOW = frozenset({"flow"})

FLOW_FIELDS = (
    Field("name", f"text, up to {NAME_MAX}", "What the flow is called; else the name of the file.", text(NAME_MAX, 1)),
    Field("goal", "text with `${args.…}`", "What one run of it is for, as lists show it.", text(PROSE_MAX)),
    Field("description", "text", "For the reader.", text(PROSE_MAX)),
    Field(
        "args",
        "names and [arguments](#arguments)",
        "What a run is given.",
        mapping(ARGUMENT_NAME, ref("argument"), ENV_MAX),
    ),
    Field(
        "env", "names and texts with `${args.…}`", "Variables of every command; `env.NAME` in expressions.", ENVIRONMENT
    ),
    Field(
        "workdir",
        "path, with `${…}`",
        "Where commands run that say nothing else; relative to where the flow was started.",
        text(),
    ),
    Field("steps", f"1 to {ITEMS_MAX} [steps](#steps)", "What is done.", several(ref("step"), ITEMS_MAX, 1)),
    Field(
        "outputs",
        "names and values with `${…}`",
        "The result of the flow; else it is the output of the last step that ran.",
        VALUES,
    ),
    Field("timeout", "span", "The most time a run may take.", SPAN),
    Field("retry", "[retry](#retry)", "For commands that have none of their own.", ref("retry")),
    Field(
        "concurrency",
        "[concurrency](#concurrency), or its key",
        "How many runs of the same key there are at once.",
        {"anyOf": [text(NAME_MAX, 1), ref("concurrency")]},
    ),
)

ARGUMENT_FIELDS = (
    Field(
        "type",
        "`string`, `integer`, `number`, `boolean`, `json`",
        "What it is; `string` when nothing is said.",
        {"enum": ["string", "integer", "number", "boolean", "json"]},
    ),
    Field("default", "a value of the type", "What it is when it is not given.", ANY),
    Field(
        "required",
        "boolean",
        "A run must give it. Without a default an argument that is not required is null.",
        {"type": "boolean"},
    ),
    Field("enum", "list of values", "The only values it may have.", several(ANY, ENUM_MAX, 1)),
    Field("description", "text", "For the reader.", text(PROSE_MAX)),
)

STEP_FIELDS = (
    Field("id", "letters, digits, `_`, `-`, up to 64", "What others call it; one step, one id.", named(ID)),
    Field("title", "text", "What lists call it.", text(NAME_MAX)),
    Field(
        "run",
        "a line for the shell, or a list: program and arguments",
        "Run a command.",
        {"anyOf": [text(LINE_MAX, 1), several(text(), ARGV_MAX, 1)]},
    ),
    Field("agent", "the name of an agent", "Give an agent a turn; its answer is the output.", named(AGENT_NAME)),
    Field("approval", "text with `${…}`", "Ask a person this, and wait for the answer.", text(PROSE_MAX, 1)),
    Field("wait", "the name of a signal", "Wait for a signal; its payload is the output.", named(SIGNAL_NAME)),
    Field(
        "sleep",
        "span or moment, with `${…}`",
        "Sleep so long, or until then.",
        {"type": ["string", "number"], "maxLength": LINE_MAX},
    ),
    Field(
        "flow",
        "the name of a flow, or the path of a file",
        "Run another flow; its result is the output.",
        text(LINE_MAX, 1),
    ),
    Field(
        "needs",
        "id or list of ids",
        "What must have ended before. When it is left out, the step before; with `[]` nothing.",
        {"anyOf": [named(ID), several(named(ID), ITEMS_MAX)]},
    ),
    Field("when", "[expression](#expressions)", "Run only when it is true.", CONDITION),
    Field(
        "for_each",
        "list, expression, or [more](#for_each)",
        "Do it once for every item of a list.",
        {"anyOf": [text(LINE_MAX, 1), several(ANY, ITEMS_MAX), ref("for_each")]},
        _LISTED,
    ),
    Field(
        "on_failure",
        "`fail`, `continue`, ids of steps, or a [cleanup](#cleanup)",
        "What follows when it fails: [failures](#failures).",
        {"anyOf": [named(ID), several(named(ID), ITEMS_MAX, 1), ref("cleanup")]},
    ),
    Field(
        "stdin",
        "text, list or mapping with `${…}`",
        "Its standard input; what is no text is written as JSON.",
        ANY,
        _RUN,
    ),
    Field("env", "names and texts with `${…}`", "More variables.", ENVIRONMENT, _RUN),
    Field("message", "text with `${…}`", "What the agent is told.", text(LINE_MAX, 1), _AGENT),
    Field(
        "conversation",
        "text with `${…}`",
        "A conversation of that agent in which who starts the flow may speak; else one of the step's own.",
        text(CONVERSATION_MAX, 1),
        _AGENT,
    ),
    Field("workdir", "path, with `${…}`", "Where it runs.", text(), _PLACED),
    Field("timeout", "span", "The most time one try may take, or the wait.", SPAN, _TIMED),
    Field("retry", "[retry](#retry)", "Try again when it fails.", ref("retry"), _RUN),
    Field("check", "boolean", "`false`: any exit code is a success; `exit_code` tells.", {"type": "boolean"}, _RUN),
    Field("args", "names and values with `${…}`", "The arguments of that flow.", VALUES, _FLOW),
    Field("preview", "text with `${…}`", "What the person sees beside the question.", text(), _ASKED),
    Field("expires", "span", "How long the question stands.", SPAN, _ASKED),
)

FOR_EACH_FIELDS = (
    Field(
        "items",
        "list or [expression](#expressions)",
        "The items.",
        {"anyOf": [text(LINE_MAX, 1), several(ANY, ITEMS_MAX)]},
    ),
    Field("max_parallel", f"1 to {PARALLEL_MAX}", "How many at once: 1.", whole(1, PARALLEL_MAX)),
    Field(
        "max_items",
        f"1 to {MAX_ITEMS_DEFAULT * 10}",
        f"More items than this are a failure: {MAX_ITEMS_DEFAULT}.",
        whole(1, MAX_ITEMS_DEFAULT * 10),
    ),
)

RETRY_FIELDS = (
    Field("attempts", f"1 to {ATTEMPTS_MAX}", f"Tries in all: {ATTEMPTS_DEFAULT}.", whole(1, ATTEMPTS_MAX)),
    Field(
        "backoff",
        "`SPAN` or `SPAN..SPAN`",
        "The pause after the first failure, doubled up to the second: `1s..1m`.",
        {"type": ["string", "number"], "maxLength": 100},
    ),
)

CONCURRENCY_FIELDS = (
    Field("key", "text with `${args.…}`", "What runs have in common.", text(NAME_MAX, 1)),
    Field("max", f"1 to {ITEMS_MAX}", "How many of them at once: 1.", whole(1, ITEMS_MAX)),
)

CLEANUP_FIELDS = tuple(
    field
    for field in STEP_FIELDS
    if field.name
    in (
        "run",
        "title",
        "stdin",
        "env",
        "workdir",
        "timeout",
        "retry",
        "check",
    )
)

TABLES: dict[str, tuple[Field, ...]] = {
    "flow": FLOW_FIELDS,
    "argument": ARGUMENT_FIELDS,
    "step": STEP_FIELDS,
    "for_each": FOR_EACH_FIELDS,
    "retry": RETRY_FIELDS,
    "concurrency": CONCURRENCY_FIELDS,
    "cleanup": CLEANUP_FIELDS,
}
"""Every table of fields, by what has them."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "flow": ("steps",),
    "step": ("id",),
    "for_each": ("items",),
    "concurrency": ("key",),
    "cleanup": ("run",),
}
"""The fields that must be there."""


NEEDED: dict[str, tuple[str, ...]] = {"agent": ("message",)}
"""The fields that a step must have that does this."""


def names(table: str) -> frozenset[str]:
    """The names of all fields of a table."""
    return frozenset(field.name for field in TABLES[table])
