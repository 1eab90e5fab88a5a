# ends: runaway
class Odd:
    def __str__(self):
        while True:
            pass


async def main():
    print(Odd())
