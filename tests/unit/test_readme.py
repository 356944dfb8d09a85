"""What the README tells to type exists, and what it promises of files is true."""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.records import validator
from tui_sync import cli
from tui_sync.commands import profiles, runs

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = sorted(
    {
        match
        for block in BLOCKS
        for match in re.findall(r"\btui-sync +((?:profiles|runs|--?\w).*?)(?: {2,}| #| [|>]|\n)", block)
    }
)


def options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {option: action for action in parser._actions for option in action.option_strings}


def subparser(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    [choices] = [
        action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    found: argparse.ArgumentParser = choices[name]
    return found


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_has_its_options(command: str) -> None:
    words = command.split()
    if words[0] in ("profiles", "runs"):
        parser = subparser({"profiles": profiles, "runs": runs}[words[0]].commands(), words[1])
    else:
        parser = cli._sync_parser()
    known = options(parser)
    for word in words:
        if re.match(r"--?[a-z]", word):
            assert word in known, f"tui-sync {command}"


def test_the_fields_of_the_records_are_those_of_the_schema() -> None:
    schema = validator().schema["$defs"]
    for event, parts in {"plan": ["plan"], "item": ["item", "ended"], "progress": ["progress"]}.items():
        row = re.search(rf"^\| `{event}` \|.*\|(.*)\|$", README, re.MULTILINE)
        assert row is not None
        told = set(re.findall(r"`(\w+)`", row[1]))
        known = {key for part in parts for key in schema[part]["properties"]} - {"event"}
        assert told == known, event
    example = re.search(r'^\{"event": "summary".*\}$', README, re.MULTILINE)
    assert example is not None
    validator().validate(json.loads(example[0]))


def test_every_exit_code_is_told() -> None:
    from tui_sync import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")]
    for code in {kind.exit_code for kind in kinds}:
        assert re.search(rf"^\| {code} \|", README, re.MULTILINE), code


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" in target or (ROOT / target).exists(), target


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        assert re.search(r">=\d", requirement), requirement
