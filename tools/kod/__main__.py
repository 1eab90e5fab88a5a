"""`python -m kod` is `kod`."""

import sys

from kod.cli import main

sys.exit(main())
