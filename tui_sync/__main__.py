"""``python -m tui_sync``, and the program as it is installed."""

import sys


def main() -> int:
    """As ``cli.main``; an interrupt while that is being loaded ends in the same way as one later on."""
    try:
        from tui_sync import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
