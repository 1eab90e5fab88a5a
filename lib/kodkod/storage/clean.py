# Everything that removes: images, apps, and what a power cut left. Loaded for one call.
# What has to go is first renamed to a name with "~", so that it is gone whole or not at all.

from micropython import const

from kodkod.borrow import borrow

_DIRECTORY = const(0x4000)


def size(flash, path):
    """Bytes in a file, or in all files below a directory."""
    info = flash.stat(path)
    if info[0] & _DIRECTORY:
        return sum([size(flash, path + "/" + name) for name in flash.listdir(path)])
    return info[6]


def sizes(store, ids):
    return [size(store.flash, store.path(id)) if store.has(id) else 0 for id in ids]


def free(store, enough=1 << 40):
    """Bytes free on the flash; counting stops when they are enough."""
    flash = store.flash
    info = flash.statvfs(store.root or "/")
    blocks = info[4]
    if blocks > info[2]:
        blocks -= 1 << 32
    # MicroPython's statvfs counts the two blocks of each directory twice, but the root's, on
    # littlefs (which says nothing of the number of files). It wraps below zero.
    paths = [] if info[5] else [store.root]
    while paths and blocks * info[1] < enough:
        path = paths.pop()
        for entry in flash.ilistdir(path or "/"):
            if entry[1] & _DIRECTORY:
                blocks += 2
                paths.append(path + "/" + entry[0])
    return blocks * info[1]


def remove_tree(flash, path):
    """Removes a file, or a directory with everything in it."""
    # No recursion: how deep an app nests its data is its own affair.
    paths = [path]
    while paths:
        path = paths[-1]
        if flash.stat(path)[0] & _DIRECTORY:
            inside = flash.listdir(path)
            if inside:
                paths.extend([path + "/" + name for name in inside])
                continue
            flash.rmdir(path)
        else:
            flash.remove(path)
        paths.pop()


def spare(store):
    """A free path in the store for a directory that is not, or no longer, an image."""
    number = 0
    while True:
        path = f"{store.root}/apps/~{number}"
        if path not in store.busy and not store.flash.exists(path):
            return path
        number += 1


def place(store, size):
    """Where an image of `size` bytes may arrive, and the bytes that are free for it."""
    return spare(store), free(store, size)


def remove_image(store, path):
    trash = spare(store)
    store.flash.rename(path, trash)
    remove_tree(store.flash, trash)


def sweep(store, needed):
    ids = store.flash.entries(store.root + "/apps")
    needed = [id[:12] for id in needed if id]
    unused = {id for id in ids if len(id) == 12 and id not in needed}
    if not unused:
        return
    catalog = _catalog(store)
    for name in _names(catalog):
        found = catalog.generations(name)
        if not found or not found[0][0]:
            return  # one that cannot be read may name any of them
        # What the flash names is needed, whatever the caller could read of it at its boot.
        record = found[-1][3]
        unused -= {record["id"][:12], (record["previous"] or "")[:12]}
    for id in unused:
        remove_image(store, store.root + "/apps/" + id)


def _catalog(store):
    return borrow("kodkod.storage.catalog").Catalog(store.root, store.flash)


def _names(catalog):
    files = catalog.flash.entries(catalog.root + "/catalog")
    return {file[:-2] for file in files if file[-2:] in (".0", ".1")}


def repair(store, needed):
    flash = store.flash
    root = store.root
    for name in flash.entries(root + "/catalog"):
        if name.endswith(".new"):
            remove_tree(flash, f"{root}/catalog/{name}")
    catalog = _catalog(store)
    for name in flash.entries(root + "/data"):
        if name[0] == "~":
            end_remove(catalog, name[1:])
    for name in flash.entries(root + "/apps"):
        path = f"{root}/apps/{name}"
        if name[0] == "~":
            remove_tree(flash, path)
        elif len(name) == 64:  # as of an earlier version
            if flash.exists(store.path(name)):
                remove_image(store, path)
            else:
                flash.rename(path, store.path(name))
    sweep(store, needed)


def problems(catalog):
    found = {}
    for name in _names(catalog):
        for readable, number, _, _ in catalog.generations(name):
            if not readable:
                found[name] = "record is from a newer version" if number else "record is damaged"
    return found


def remove_app(catalog, name, keep_data):
    flash = catalog.flash
    if "/" in name:
        raise ValueError(f"app name {name!r}")
    if flash.exists(catalog.data("~" + name)):
        end_remove(catalog, name)  # of a removal that an error ended
    if not keep_data and flash.exists(catalog.data(name)):
        flash.rename(catalog.data(name), catalog.data("~" + name))
    try:
        # The newest record goes last, so that no older one takes its place.
        for _, _, slot, _ in catalog.generations(name):
            remove_tree(flash, catalog.file(name, slot))
    finally:
        if flash.exists(catalog.data("~" + name)):
            end_remove(catalog, name)


def end_remove(catalog, name):
    """The data of an app that still has a record comes back: its removal did not happen."""
    flash = catalog.flash
    trash = catalog.data("~" + name)
    if catalog.generations(name) and not flash.exists(catalog.data(name)):
        flash.rename(trash, catalog.data(name))
    else:
        remove_tree(flash, trash)
