from collections.abc import Callable
from typing import Any

from .app import App

def run(main: Callable[..., Any], *args: Any) -> int:
    """Start the kernel with a first app; returns its exit code when every app has ended.

    `main` is a function, plain or async. In an app's module body it makes `main` the app's own
    main task, as `asyncio.run` does.
    """

def spawn(main: Callable[..., Any], *args: Any, name: str | None = None) -> App:
    """Start `main(*args)` as a further app: own record, tasks and resources, same modules.

    `args` are copied as values: NotSerializable, TooLarge. Parent and child end independently;
    a stop, a new version or a new start of an installed app ends all that it has spawned.
    """

def ready() -> None:
    """Say that this app works: a new version's probation is passed."""

def defines() -> dict[str, str]:
    """What `kod install -D key=value` gave this app, a dict of str."""
