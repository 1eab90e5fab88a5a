# ends: runaway
def key(n):
    while True:
        pass


sorted([2, 1], key=key)
