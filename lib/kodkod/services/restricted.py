# A selector that accepts only some providers: by their name, their version, their tags.
from kodkod.services.registry import ServiceSelector


class Restricted(ServiceSelector):
    def __init__(self, uuid, major, minor):
        super().__init__(uuid, major, minor)
        self._names = []
        self._tags = {}

    def restrict(self):
        raise ValueError("selector is already restricted")

    def allow(self, name=None, major=None, minor=None, tag=None, tags=()):
        """Only providers that some `allow` names are accepted, if any names one."""
        return self._add(name, major, minor, tag, tags, True)

    def deny(self, name=None, major=None, minor=None, tag=None, tags=()):
        """No provider is accepted that a `deny` names; it beats `allow`."""
        return self._add(name, major, minor, tag, tags, False)

    def _add(self, name, major, minor, tag, tags, allowed):
        if minor is not None and major is None:
            raise ValueError(f"minor {minor} needs a major")
        if name is None and major is not None:
            raise ValueError(f"major {major} needs a name")
        for other, a, b, _ in self._names:
            if other == name and _overlap(a, major) and _overlap(b, minor):
                raise ValueError(f"conflicting entry for the provider name {name!r}")
        tags = list(tags or ()) + ([] if tag is None else [tag])
        for tag in tags:
            if self._tags.get(tag, allowed) != allowed:
                raise ValueError(f"tag {tag!r} is both allowed and denied")
        for tag in tags:
            self._tags[tag] = allowed
        if name is not None:
            self._names.append((name, major, minor, allowed))
        return self

    def _allows(self, provider, tags):
        ok = not [True for entry in self._names if entry[3]]
        for name, major, minor, allowed in self._names:
            named = name == provider.name and _overlap(major, provider.major)
            if named and _overlap(minor, provider.minor):
                if not allowed:
                    return False
                ok = True
        found = [self._tags[tag] for tag in tags if tag in self._tags]
        if False in found:
            return False
        return ok and (True in found or True not in self._tags.values())


def _overlap(a, b):
    # None stands for every number.
    return a is None or b is None or a == b
