# The writing half of the store: an image that arrives, beside everything that runs.
# Borrowed by each upload, for as long as it takes.

from kodkod.errors import ImageInvalid, StorageFull
from kodkod.storage import once
from kodkod.storage.image import Unpacker


class Staging:
    """One image that is being received. Whatever goes wrong, nothing of it is left."""

    _unpacker = None

    def __init__(self, store, id, size):
        self._path = store.path(id)
        self._store = store
        self._flash = store.flash
        self._directory, room = once("place", store, size)
        if size > room:
            raise StorageFull(f"image of {size} bytes, {room} are free; kod uninstall frees some")
        store.busy.append(self._directory)
        self._do(self._start, id, size)

    def write(self, data):
        """Takes the next bytes of the image."""
        self._do(self._unpacker.feed, data)

    def commit(self):
        """Verifies the image and makes it exist; ImageInvalid if it is not whole and right."""
        self._do(self._switch)

    def abort(self):
        """Ends the upload and removes what came of it; nothing after commit()."""
        if not self._directory:
            return
        try:
            if self._unpacker:
                self._unpacker.close()
        except OSError:
            pass  # a full flash says so again here
        try:
            if self._flash.exists(self._directory):
                once("remove_tree", self._flash, self._directory)
        except (OSError, MemoryError):
            pass  # the repair at the next boot removes it
        self._end()

    def _do(self, step, *args):
        if not self._directory:
            raise ImageInvalid("this upload has ended; begin again")
        try:
            step(*args)
        except Exception as error:
            self.abort()
            raise self._flash.full(error)

    def _start(self, id, size):
        self._unpacker = Unpacker(self._flash, self._directory, id, size)
        self._flash.make(self._store.root + "/apps")
        self._flash.mkdir(self._directory)

    def _switch(self):
        self._unpacker.finish()
        if self._flash.exists(self._path):
            self.abort()  # another upload of the same image was faster
        else:
            self._flash.rename(self._directory, self._path)
            self._end()

    def _end(self):
        if self._directory in self._store.busy:
            self._store.busy.remove(self._directory)
        self._directory = None
