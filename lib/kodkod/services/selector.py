# Which service a client asks for, and which providers of it are acceptable.


class ServiceSelector:
    """A service's identity. Without `major` every version fits, and a provider's name will do."""

    def __init__(self, uuid, major=None, minor=0):
        self.uuid = uuid
        self.major = major
        self.minor = minor

    def matches(self, other):
        """Whether uuid, major and minor are all equal."""
        return (self.uuid, self.major, self.minor) == (other.uuid, other.major, other.minor)

    def restrict(self):
        """A copy that can `allow` and `deny` providers by name, version and tag."""
        return Restricted(self.uuid, self.major, self.minor)

    def _allows(self, service):
        return True


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
        tags = list(tags or ()) + ([] if tag is None else [tag])
        for tag in tags:
            if self._tags.get(tag, allowed) != allowed:
                raise ValueError(f"tag {tag!r} is both allowed and denied")
        if name is not None:
            for n, a, b, _ in self._names:
                if n == name and _overlap(a, major) and _overlap(b, minor):
                    raise ValueError(f"conflicting entry for {name!r}")
            self._names.append((name, major, minor, allowed))
        for tag in tags:
            self._tags[tag] = allowed
        return self

    def _allows(self, service):
        provider = service.provider
        named = []
        for name, major, minor, allowed in self._names:
            if (
                name == provider.name
                and _overlap(major, provider.major)
                and _overlap(minor, provider.minor)
            ):
                if not allowed:
                    return False
                named.append(name)
        if not named and any([entry[3] for entry in self._names]):
            return False
        verdicts = [self._tags[tag] for tag in service.tags if tag in self._tags]
        if False in verdicts:
            return False
        return bool(verdicts) or True not in self._tags.values()


def _overlap(a, b):
    return a is None or b is None or a == b
