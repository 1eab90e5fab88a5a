# Left empty: an ESP32 runs it before main.py, and safe mode must not depend on it.
