# ends: failed
async def main():
    raise KeyboardInterrupt
