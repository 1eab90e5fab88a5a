# ends: runaway
while True:
    try:
        int("x")
    except Exception:
        pass
