"""``python -m lacache_core``: see ``lacache_core.cli``."""

import sys

if __name__ == "__main__":
    try:
        from lacache_core.cli import main  # takes a moment, in which Ctrl+C may come already

        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
