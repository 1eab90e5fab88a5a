# ends: runaway
# says: await asyncio.sleep
import time

print("good night")
time.sleep(1000)
