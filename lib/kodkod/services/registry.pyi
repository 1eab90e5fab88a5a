from typing import Any

from ..signal import Signal
from .provider import ServiceProvider
from .restricted import Restricted

providers: list[ServiceProvider]
changed: Signal

class ServiceSelector:
    """A service's identity. Without `major` every version fits, and a provider's name will do."""

    uuid: str
    major: int | None
    minor: int

    def __init__(self, uuid: str, major: int | None = None, minor: int = 0) -> None: ...
    def matches(self, other: ServiceSelector) -> bool:
        """Whether uuid, major and minor are all equal."""

    def restrict(self) -> Restricted:
        """A copy that can `allow` and `deny` providers by name, version and tag."""

def find(selector: ServiceSelector, owner: Any) -> tuple[ServiceProvider, tuple[Any, ...]]:
    """The best provider for `owner` and its service; Ambiguous, Denied, VersionMismatch or
    ServiceNotFound if there is none."""

def has_providers(owner: Any) -> bool:
    """Whether `owner` still serves."""

def close_owned(owner: Any, clients: Any = True) -> None:
    """The owner ends: its providers are withdrawn and, if `clients`, its clients closed."""

def listing() -> list[dict[str, Any]]:
    """One dict a service, for `kod services`."""
