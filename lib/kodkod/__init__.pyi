from . import errors as errors
from . import message as message
from . import services as services
from .apps.kernel import ready as ready
from .apps.kernel import run as run
from .apps.kernel import spawn as spawn
from .channel import Channel as Channel
from .services.style import Resource as Resource
from .services.style import connect as connect
from .services.style import service as service

defines: dict[str, str]
"""What `kod install -D key=value` gave this app."""
