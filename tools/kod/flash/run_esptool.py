"""esptool as `python -m esptool` runs it, with the ports that kod knows (`kod.flash.urls`)."""

import runpy

from kod.flash import ports  # noqa: F401 (entering them is what it is imported for)

runpy.run_module("esptool", run_name="__main__", alter_sys=True)
