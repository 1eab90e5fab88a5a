# What lies on flash: images (store), what is installed (catalog), and each app's data.
# Receiving an image (staging, image) and what removes (clean) are borrowed while they are needed.

from kodkod.borrow import borrow


def once(what, *args):
    """Calls a function of the module clean."""
    return getattr(borrow("kodkod.storage.clean"), what)(*args)
