from . import kernel as kernel
from . import registry as registry
from .client import ServiceClient as ServiceClient
from .provider import ServiceProvider as ServiceProvider
from .proxy import ServiceResourceProxy as ServiceResourceProxy
from .registry import ServiceSelector as ServiceSelector
from .resource import ServiceResource as ServiceResource
