# Waits for nothing, so that nobody could wake or cancel it.
# ends: failed
import asyncio


def main():
    while True:
        yield
