# The flash is everybody's; what it mounts itself is gone with it.
# stop after: 60
# ends: stopped
# says: umount: / was not mounted by this app
import asyncio
import os

import vfs


class Device:
    def __init__(self):
        self.data = bytearray(4096 * 16)

    def readblocks(self, n, buffer, offset=0):
        at = n * 4096 + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, n, buffer, offset=None):
        at = n * 4096 + (offset or 0)
        self.data[at : at + len(buffer)] = buffer

    def ioctl(self, op, argument):
        return {4: 16, 5: 4096}.get(op, 0)


for module in (os, vfs):
    try:
        module.umount("/")
    except OSError as exc:
        print(exc)
device = Device()
vfs.VfsLfs2.mkfs(device)
os.mount(device, "/card")  # refused if the last round has left it
vfs.umount("/card")
vfs.mount(device, "/card")
with open("/card/x", "w") as file:
    file.write("text")
del device


async def main():
    await asyncio.sleep(1000)
