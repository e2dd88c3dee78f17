"""Turns of agents: the runner, a process of its own for each turn, and the backends that know how to talk to agents.

The gateway imports nothing of this: it starts ``python -m outlast.agents.runner`` as a session and reads its journal,
so a turn survives it, and what an agent makes of memory and time is the turn's own. `outlast.core.agent` has the
records both sides speak in.
"""
