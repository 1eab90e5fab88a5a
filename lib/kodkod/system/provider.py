# The form of the system's services: methods go by name, and are loaded while they have clients.

import gc

from micropython import const

from kodkod.apps import logs, upkeep
from kodkod.borrow import borrow
from kodkod.errors import RemoteError, UnknownMethod
from kodkod.services import ServiceProvider, ServiceSelector

_NO_MEMORY = "the device has no memory for that: kod stop or uninstall an app, or kod reset"
_FIRST = 256  # above every priority of an app: none can put itself in the system's place
_ERRAND = const(20480)  # bytes free, with which the largest of them is done
_UUID = "b7f2a1de-000{}-4c1e-9a53-6b6f646b6f64"


class SystemProvider(ServiceProvider):
    """The service `kodkod/<name>`. Method `x` is `do_x(client, *arguments)` of the class Methods
    in the module of that name, which is made with this provider and `context`."""

    def __init__(self, name, number, *context):
        super().__init__("kodkod/" + name, 1, 0)
        self._module = "kodkod.system." + name
        self._context = context
        self._methods = None
        self._clients = 0
        self.provides(ServiceSelector(_UUID.format(number), 1, 0), self)
        service = self.services_[0]
        self.services_[0] = service[:3] + (_FIRST,) + service[4:]

    def on_opened(self, client):
        self._clients += 1

    def on_closed(self, client):
        self._clients -= 1
        if not self._clients:
            self._methods = None

    def handle(self, index, arguments, gid, client):
        """Call the method named `index`."""
        try:
            if self._methods is None:
                _make_room()
                self._methods = borrow(self._module).Methods(self, *self._context)
            name = "do_" + str(index)
            if name not in type(self._methods).__dict__:  # getattr would keep it, for ever
                raise UnknownMethod("{} has no method {}".format(self.name, index))
            if not isinstance(arguments, (list, tuple)):  # connect() sends a single one as it is
                arguments = (arguments,)
            work = getattr(self._methods, name)(client, *arguments)
        except MemoryError:
            _no_memory()
        return _finished(work) if hasattr(work, "send") else work


def is_tight():
    """Whether the heap has no 2 KB in one piece: answers are to be small, then."""
    try:
        bytearray(2048)
        return False
    except MemoryError:
        return True


def _make_room():
    # What the console needs no more, and would keep for a while, is for who asks now.
    console = logs.kernel and logs.kernel.console
    if console and console.keys and not console.cable and gc.mem_free() < _ERRAND:
        gc.collect()
        if gc.mem_free() < _ERRAND:
            console.keys.rest(console)


async def _finished(work):
    try:
        return await work
    except MemoryError:
        _no_memory()


def _no_memory():
    # The system goes on, whatever it could not do; an app would end.
    upkeep.give_back(logs.kernel)
    raise RemoteError(_NO_MEMORY, "MemoryError")
