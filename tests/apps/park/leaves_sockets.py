# stop after: 60
# ends: stopped
import asyncio
import socket

sockets = [socket.socket() for _ in range(5)]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("127.0.0.1", 19391)[0][-1])  # fails if the last round left it
listener.listen(1)


async def serve(reader, writer):
    await reader.read(100)


async def main():
    await asyncio.start_server(serve, "127.0.0.1", 19392)
    reader, writer = await asyncio.open_connection("127.0.0.1", 19392)
    listener.setblocking(False)
    await asyncio.StreamReader(listener).read(1)
