# A second user, of the same code.

import user


async def main():
    await user.main()
