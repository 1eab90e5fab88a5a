# A view of the module `of`: loaded anew for each one.
# (A real module, because MicroPython 1.26 crashes when it shall import * from anything else.)

of = None


def __getattr__(name):
    return getattr(of, name)
