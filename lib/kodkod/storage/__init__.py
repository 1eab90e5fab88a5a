# What lies on flash: images (store), what is installed (catalog), and each app's data.
# Receiving an image (staging, image) and what removes (clean) are loaded while they are needed.

import sys


def drop(*names):
    """Lets go of modules of this package that were loaded for a moment."""
    for name in names:
        sys.modules.pop("kodkod.storage." + name, None)
        globals().pop(name, None)


def once(what, *args):
    """Calls a function of the module clean, which is loaded for that call."""
    from kodkod.storage import clean

    try:
        return getattr(clean, what)(*args)
    finally:
        drop("clean")
