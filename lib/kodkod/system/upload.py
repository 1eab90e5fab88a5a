# Receiving an image: loaded for as long as one arrives.

from kodkod.services import ServiceResource


class Upload(ServiceResource):
    """An image on its way. Closed before `commit`, nothing of it is left."""

    def __init__(self, methods, client, image, size):
        super().__init__(methods.provider, client)
        self.image = image
        self.staging = None
        self.methods = methods
        try:
            self.staging = methods.supervisor.store.begin(image, size)
        except Exception:
            self.close()
            raise

    def write(self, data):
        """The next piece."""
        self.staging.write(data)

    def commit(self):
        """All pieces are there: verify."""
        self.staging.commit()
        supervisor = self.methods.supervisor
        supervisor.part("held").hold(supervisor, self.image)

    def on_closed(self):
        if self.staging:
            self.staging.abort()


def upload(methods, client, image, size):
    """The resource that takes the pieces, or None when the image is there."""
    supervisor = methods.supervisor
    if supervisor.store.has(image):
        supervisor.part("held").hold(supervisor, image)
        return None
    return Upload(methods, client, image, size)
