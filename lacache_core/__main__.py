"""``python -m lacache_core``: see ``lacache_core.cli``."""

import sys

from lacache_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
