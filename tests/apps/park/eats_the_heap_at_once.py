# ends: memory
block = bytearray(1 << 30)
