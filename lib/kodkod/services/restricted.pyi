from collections.abc import Iterable

from .registry import ServiceSelector

class Restricted(ServiceSelector):
    """Accepts a provider that no entry denies and, if anything is allowed, some entry allows;
    by name and by tag, both must pass. Conflicting entries are a ValueError."""

    def __init__(self, uuid: str, major: int | None, minor: int) -> None: ...
    def restrict(self) -> Restricted:
        """ValueError: it is restricted already."""

    def allow(
        self,
        name: str | None = None,
        major: int | None = None,
        minor: int | None = None,
        tag: str | None = None,
        tags: Iterable[str] = (),
    ) -> Restricted:
        """Only providers that some `allow` names are accepted, if any names one. The version is
        the provider's own."""

    def deny(
        self,
        name: str | None = None,
        major: int | None = None,
        minor: int | None = None,
        tag: str | None = None,
        tags: Iterable[str] = (),
    ) -> Restricted:
        """No provider is accepted that a `deny` names; it beats `allow`."""
