# The interface: what provider and client have in common.

from kodkod.services import ServiceSelector


class NotificationService:
    """A notification service that connects its clients to each other."""

    SELECTOR = ServiceSelector("c6f4862f-c17f-4624-865b-fa19467865c5", 0, 1)

    CONNECT_INDEX = 0
    """Connects the client. Argument: None. Returns the handle of a Connection."""

    CONNECTION_SEND_INDEX = 1
    """Sends a message to all other connections. Arguments: [handle, message]."""
