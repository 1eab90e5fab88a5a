# ends: runaway
# says: sleeps_a_little_for_ever.py", line 7
# says: await asyncio.sleep
import time

while True:
    time.sleep_ms(3)
