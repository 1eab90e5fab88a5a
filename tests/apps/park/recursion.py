# ends: failed
# says: recursion
def deeper(n):
    return deeper(n + 1) + 1


def main():
    deeper(0)
