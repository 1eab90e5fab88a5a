"""Which service a client asks for: `kodkod.services.ServiceSelector` on CPython."""

from __future__ import annotations

from collections.abc import Iterable

Entry = tuple[str, int | None, int | None, bool]


class ServiceSelector:
    """A service's identity. Without `major` every version fits, and a provider's name will do."""

    def __init__(self, uuid: str, major: int | None = None, minor: int = 0) -> None:
        self.uuid = uuid
        self.major = major
        self.minor = minor

    def matches(self, other: ServiceSelector) -> bool:
        """Whether uuid, major and minor are all equal."""
        return (self.uuid, self.major, self.minor) == (other.uuid, other.major, other.minor)

    def restrict(self) -> Restricted:
        """A copy that can `allow` and `deny` providers by name, version and tag."""
        return Restricted(self.uuid, self.major, self.minor)

    def wire(self) -> list[object]:
        """What an OPEN of docs/protocol.md says of it."""
        return [self.uuid] if self.major is None else [self.uuid, self.major, self.minor]


class Restricted(ServiceSelector):
    """A selector that accepts only some providers; the device decides which."""

    def __init__(self, uuid: str, major: int | None, minor: int) -> None:
        super().__init__(uuid, major, minor)
        self._names: list[Entry] = []
        self._tags: dict[str, bool] = {}

    def restrict(self) -> Restricted:
        raise ValueError("selector is already restricted")

    def wire(self) -> list[object]:
        return [self.uuid, self.major, self.minor, self._names, self._tags]

    def allow(
        self,
        name: str | None = None,
        major: int | None = None,
        minor: int | None = None,
        tag: str | None = None,
        tags: Iterable[str] = (),
    ) -> Restricted:
        """Only providers that some `allow` names are accepted, if any names one."""
        return self._add(name, major, minor, tag, tags, True)

    def deny(
        self,
        name: str | None = None,
        major: int | None = None,
        minor: int | None = None,
        tag: str | None = None,
        tags: Iterable[str] = (),
    ) -> Restricted:
        """No provider is accepted that a `deny` names; it beats `allow`."""
        return self._add(name, major, minor, tag, tags, False)

    def _add(
        self,
        name: str | None,
        major: int | None,
        minor: int | None,
        tag: str | None,
        tags: Iterable[str],
        allowed: bool,
    ) -> Restricted:
        if minor is not None and major is None:
            raise ValueError(f"minor {minor} needs a major")
        if name is None and major is not None:
            raise ValueError(f"major {major} needs a name")
        for other, a, b, _ in self._names:
            if other == name and _overlap(a, major) and _overlap(b, minor):
                raise ValueError(f"conflicting entry for the provider name {name!r}")
        tags = [*tags, *([] if tag is None else [tag])]
        for tag in tags:
            if self._tags.get(tag, allowed) != allowed:
                raise ValueError(f"tag {tag!r} is both allowed and denied")
        for tag in tags:
            self._tags[tag] = allowed
        if name is not None:
            self._names.append((name, major, minor, allowed))
        return self


def _overlap(a: int | None, b: int | None) -> bool:
    # None stands for every number.
    return a is None or b is None or a == b
