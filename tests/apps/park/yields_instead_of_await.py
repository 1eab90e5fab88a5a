# stop after: 60
# ends: stopped
import asyncio


def main():
    while True:
        yield
