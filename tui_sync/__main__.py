"""``python -m tui_sync``, and the program as it is installed."""

import gc
import io
import os
import sys

_OUTPUT = "tui_sync_output"
_OBJECTS = 50_000


def main() -> int:
    """As ``cli.main``; an interrupt while that is being loaded ends in the same way as one later on."""
    # What is loaded and listed are many objects, and next to none of them garbage.
    gc.set_threshold(_OBJECTS)
    try:
        _speak_utf8()
        from tui_sync import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130
    finally:
        # What is left goes with the process: looking through it for garbage takes longer than the rest.
        gc.freeze()


def _speak_utf8() -> None:
    """Start anew in Python's UTF-8 mode (PEP 540) where the locale has another encoding.

    Names of files are bytes, which are UTF-8 to every other place: by the locale's encoding they would become
    other names there. What is written to the terminal stays in that encoding.
    """
    told = sys._xoptions.get(_OUTPUT)
    if isinstance(told, str):
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding=told, errors="backslashreplace")
    elif sys.getfilesystemencoding() != "utf-8" and sys.executable:
        encoding = sys.stdout.encoding if sys.stdout is not None else "utf-8"
        options = ["-X", "utf8", "-X", f"{_OUTPUT}={encoding}"]
        os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
