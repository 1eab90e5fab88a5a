# ends: runaway
import time

while True:
    time.sleep_ms(3)
