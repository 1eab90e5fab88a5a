# A blocking accept, as scripts for one program do it.
# ends: runaway
import socket

listener = socket.socket()
listener.bind(socket.getaddrinfo("127.0.0.1", 0)[0][-1])
listener.listen(1)
listener.accept()
