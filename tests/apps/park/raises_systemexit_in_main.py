# ends: failed 5
async def main():
    raise SystemExit(5)
