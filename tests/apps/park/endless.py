# ends: runaway
# says: endless.py", line
# says: await asyncio.sleep
while True:
    pass
