# Where images lie: /apps/<id>/, unpacked, with the first 12 digits of the id: MicroPython keeps
# the path of each module that it imports in memory until the next reset. Whatever is not whole
# has a name that begins with "~", so one rename makes an image exist and one makes it gone.

import json

from kodkod import errors
from kodkod.borrow import borrow
from kodkod.storage import flash, once


class Store:
    """The images below root; flash is the module that does the calls, and busy names the
    directories of uploads that are under way."""

    def __init__(self, root, flash=flash, busy=None):
        self.root = root
        self.flash = flash
        self.busy = [] if busy is None else busy

    def path(self, id):
        """Directory of an image, there or not."""
        if len(id) != 64 or id.strip("0123456789abcdef"):
            raise errors.ImageInvalid("an image id is 64 hex digits")
        return self.root + "/apps/" + id[:12]

    def has(self, id):
        """Whether the image is there, whole."""
        return self.flash.exists(self.path(id))

    def manifest(self, id):
        """The image's app.json as a dict."""
        path = self.path(id) + "/app.json"
        if not self.flash.exists(path):
            raise errors.ImageInvalid(f"image {id[:8]} is not on the device: install it again")
        with self.flash.open(path) as file:
            return json.load(file)

    def sizes(self, ids):
        """Bytes in the files of each image, 0 for one that is not there."""
        return once("sizes", self, ids)

    def free(self):
        """Bytes free on the flash."""
        return once("free", self)

    def begin(self, id, size):
        """A Staging that takes the image's bytes: write() them, then commit() or abort()."""
        return borrow("kodkod.storage.staging").Staging(self, id, size)

    def remove(self, id):
        """Removes an image that nobody uses."""
        once("remove_image", self, self.path(id))

    def remove_data(self, path):
        """Removes what an app has written to its folder, if it has."""
        try:
            if self.flash.exists(path):
                once("remove_tree", self.flash, path)
        except OSError:
            pass  # the repair at the next boot removes it

    def sweep(self, needed):
        """Removes the images whose ids are not among the needed ones.

        None is removed while a record of the catalog cannot be read: it may name any of them.
        """
        once("sweep", self, needed)

    def repair(self, needed):
        """For the boot: ends or undoes what a power cut interrupted, then sweeps."""
        once("repair", self, needed)


def open_store(root, busy):
    """The store of a device, which keeps nothing but `busy` between two uses."""
    return Store(root, flash, busy)
