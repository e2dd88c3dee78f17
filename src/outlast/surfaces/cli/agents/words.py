"""Words of agents, safe to show."""

from __future__ import annotations

from outlast.surfaces.cli.output import safe


def safe_text(text: str) -> str:
    """Show a text of several lines; control characters within a line as escapes."""
    return "\n".join(safe(line.expandtabs()) for line in text.split("\n"))
