# ends: runaway
while True:
    print("a flood")
