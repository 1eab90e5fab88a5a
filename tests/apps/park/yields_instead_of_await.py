# ends: failed
import asyncio


def main():
    while True:
        yield
