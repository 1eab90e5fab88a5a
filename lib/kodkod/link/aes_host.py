# AES for CPython with the three calls of MicroPython's cryptolib that the link uses.
# The device never loads this file.

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class aes:
    """`aes(key, 2, iv)` chains CBC blocks over calls, as cryptolib does."""

    def __init__(self, key, mode, iv):
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
        self._context = None

    def encrypt(self, data, out):
        if not self._context:
            self._context = self._cipher.encryptor()
        out[: len(data)] = self._context.update(data)

    def decrypt(self, data, out):
        if not self._context:
            self._context = self._cipher.decryptor()
        out[: len(data)] = self._context.update(data)
