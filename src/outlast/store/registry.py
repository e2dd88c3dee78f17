"""All acts and questions there are, by name: what both stores run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outlast.store.acts import ACTS as TASK_ACTS
from outlast.store.questions import QUESTIONS as TASK_QUESTIONS
from outlast.store.rules import RULE_ACTS
from outlast.store.steps import Steps
from outlast.store.told import TOLD_ACTS
from outlast.store.told_questions import TOLD_QUESTIONS

ACTS: dict[str, Callable[..., Steps[Any]]] = {**TASK_ACTS, **TOLD_ACTS, **RULE_ACTS}
QUESTIONS: dict[str, Callable[..., Any]] = {**TASK_QUESTIONS, **TOLD_QUESTIONS}
