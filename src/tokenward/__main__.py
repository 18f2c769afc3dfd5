"""``python -m tokenward``."""

import sys

from tokenward.cli import main

if __name__ == "__main__":
    sys.exit(main())
