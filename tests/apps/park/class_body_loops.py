# ends: runaway
class Thing:
    while True:
        pass
