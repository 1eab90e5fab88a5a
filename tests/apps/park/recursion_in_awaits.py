# ends: failed
async def deeper(n):
    return await deeper(n + 1)


async def main():
    await deeper(0)
