"""``python -m tui_sync``."""

import sys

from tui_sync.cli import main

if __name__ == "__main__":
    sys.exit(main())
