# The kernel's own poll calls this.
# ends: failed
import asyncio
import io


class Stream(io.IOBase):
    def ioctl(self, request, argument):
        if request == 3:
            raise ValueError("polled")
        return -1


class Worse(io.IOBase):
    def ioctl(self, request, argument):
        raise ValueError("asked anything")


async def main():
    try:
        await asyncio.StreamReader(Worse()).read(1)
    except ValueError:
        pass
    await asyncio.StreamReader(Stream()).read(1)
