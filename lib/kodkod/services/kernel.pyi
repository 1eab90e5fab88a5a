from collections.abc import Callable
from typing import Any

kernel: Any
"""Whoever runs the apps; plain.py says what it has to offer."""

def nothing(self: Any, value: Any = None) -> None:
    """What a hook does unless an app has its own."""

def handle(self: Any) -> int | None:
    """As what a resource or its proxy crosses."""

def shielded(function: Callable[..., Any], *args: Any) -> Any:
    """Runs `function`, which changes state of several apps, without a guard's interrupt."""

def surely(function: Callable[..., Any], *args: Any) -> None:
    """As `shielded`, but runs it in any case: nobody else would. It calls no app."""

def finish(function: Callable[[], Any]) -> None:
    """Runs `function`, which closes something. Where the stack is nearly full it does so soon, in
    a task: what it did not come to would stay open."""

def hook(owner: Any, function: Callable[..., Any], *args: Any) -> None:
    """Runs an app's hook as that app, interruptible. A failure is a line in its log."""
