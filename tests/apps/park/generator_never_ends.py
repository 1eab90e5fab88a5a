# ends: runaway
def numbers():
    n = 0
    while True:
        yield n


max(numbers())
