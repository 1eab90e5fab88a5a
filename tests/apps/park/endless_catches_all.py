# Survives any number of interrupts.
# ends: reset
while True:
    try:
        while True:
            pass
    except:
        pass
