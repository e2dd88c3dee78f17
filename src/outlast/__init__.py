"""outlast: work that outlasts the chat turn, the terminal and the restart."""

from outlast._version import __version__

__all__ = ["__version__"]
