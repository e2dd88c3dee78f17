"""Statements from their files: one statement, one ``.sql`` file, named for the act."""

from __future__ import annotations

from importlib import resources

from outlast.store.rows import EVENT_COLUMNS, OUTBOX_COLUMNS, TASK_COLUMNS

_LISTS = {
    "{task}": ", ".join(TASK_COLUMNS),
    "{task.}": ", ".join(f"task.{name}" for name in TASK_COLUMNS),
    "{event}": ", ".join(EVENT_COLUMNS),
    "{outbox}": ", ".join(OUTBOX_COLUMNS),
}


def load(package: str) -> dict[str, str]:
    """Read all statements of a store's package. ``{task}`` and its kind stand for the columns of a table."""
    found = {}
    for file in (resources.files(package) / "sql").iterdir():
        name, dot, suffix = file.name.rpartition(".")
        if dot and suffix == "sql" and name != "schema":
            text = file.read_text(encoding="utf-8").strip().removesuffix(";")
            for sign, columns in _LISTS.items():
                text = text.replace(sign, columns)
            found[name] = text
    return found
