# ends: failed
class Odd(Exception):
    def __str__(self):
        raise SystemExit(0)


async def main():
    raise Odd
