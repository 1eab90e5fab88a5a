# Which service a client asks for.


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
        from kodkod.services.restricted import Restricted

        return Restricted(self.uuid, self.major, self.minor)

    def _allows(self, provider, tags):
        return True
