"""How every command reads its arguments."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any, NoReturn

from tui_sync.errors import UsageError
from tui_sync.names import masked, printable


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of leaving the process, so that all errors are told in one place."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{printable(masked(message))} (see {self.prog} --help)")


class Commands:
    """A command's subcommands; each has a description and an example of its own."""

    def __init__(self, prog: str, description: str, example: str) -> None:
        self.parser = Parser(prog=prog, description=_wrapped(description), epilog=f"example:\n  {example}")
        self._choices = self.parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(self, name: str, description: str, example: str) -> argparse.ArgumentParser:
        """The first sentence of ``description`` also stands beside the name in the list of commands."""
        added: argparse.ArgumentParser = self._choices.add_parser(
            name,
            help=description.partition(". ")[0].rstrip("."),
            description=_wrapped(description[0].upper() + description[1:]),
            epilog=f"example:\n  {example}",
        )
        return added


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 78)
