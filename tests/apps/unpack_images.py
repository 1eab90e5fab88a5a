# Puts image files into a store and says of each, as one line of JSON, what came of it.
# unpack_images.py FOLDER IMAGE...: an image's file name is its id.
import json
import os
import sys

from kodkod.storage.store import Store


def take(store, path):
    id = path.rsplit("/", 1)[-1]
    try:
        staging = store.begin(id, os.stat(path)[6])
        with open(path, "rb") as file:
            while True:
                piece = file.read(700)
                if not piece:
                    break
                staging.write(piece)
        staging.commit()
    except Exception as error:
        return repr(error)
    return "ok" if store.manifest(id) else "no app.json"


def main():
    store = Store(sys.argv[1])
    for path in sys.argv[2:]:
        print(json.dumps(take(store, path)))


main()
