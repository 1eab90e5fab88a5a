# stop after: 60
# ends: stopped
import asyncio
import os
import socket

sockets = [socket.socket() for _ in range(5)]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
# Its own in this run, by the number in the folder's name; binding fails if the last round left it.
PORT = 20000 + int(os.getcwd().split("-")[-1].split("/")[0]) % 12000
listener.bind(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
listener.listen(1)


async def serve(reader, writer):
    await reader.read(100)


async def main():
    await asyncio.start_server(serve, "127.0.0.1", PORT + 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT + 1)
    listener.setblocking(False)
    await asyncio.StreamReader(listener).read(1)
