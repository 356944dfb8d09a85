"""``tui-sync completion``: what a shell needs to complete the command line, made from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from tui_sync.commands import profiles, runs
from tui_sync.commands.parser import Parser
from tui_sync.commands.terminal import say
from tui_sync.names import printable
from tui_sync.profiles import available

SHELLS = ("bash", "zsh", "fish")
_DESCRIPTION = """\
Print the completion script of a shell: commands, options, and the names of your profiles. Load it with

  bash   source <(tui-sync completion bash)      in ~/.bashrc
  zsh    source <(tui-sync completion zsh)       in ~/.zshrc, after compinit
  fish   tui-sync completion fish > ~/.config/fish/completions/tui-sync.fish"""


def main(arguments: list[str], sync: argparse.ArgumentParser, demo: argparse.ArgumentParser) -> int:
    """``sync`` and ``demo`` are the parsers of the command line's own options."""
    parser = Parser(
        prog="tui-sync completion",
        description=_DESCRIPTION,
        epilog="example:\n  source <(tui-sync completion bash)",
    )
    parser.add_argument(
        "shell", choices=[*SHELLS, "names"], help="the shell; names: only those of the profiles"
    )
    shell = parser.parse_args(arguments).shell
    if shell == "names":
        for one in available():
            say(printable(one.name))
        return 0
    words = {"": [*_options(sync), "demo", "profiles", "runs", "completion"], "demo": list(_options(demo))}
    for name, command in (("profiles", profiles.commands()), ("runs", runs.commands())):
        words |= _subcommands(name, command)
    words["completion"] = list(SHELLS)
    say({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](words).rstrip())
    return 0


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from (option for option in action.option_strings if option.startswith("--"))


def _subcommands(name: str, parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    choices: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            choices |= action.choices
    return {
        name: list(choices),
        **{f"{name} {each}": list(_options(found)) for each, found in choices.items()},
    }


_NAMES_AFTER = ("", *(f"profiles {name}" for name in ("show", "edit", "test", "trust")), "runs undo")


def _bash(words: Mapping[str, list[str]]) -> str:
    cases = "\n".join(f'    "{key}") words="{" ".join(found)}" ;;' for key, found in words.items())
    named = "|".join(f'"{key}"' for key in _NAMES_AFTER)
    return f"""\
_tui_sync() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" command="" words="" name
  case "${{COMP_WORDS[1]}}" in
    demo|profiles|runs|completion)
      if ((COMP_CWORD > 1)); then command="${{COMP_WORDS[1]}}"; fi
      if ((COMP_CWORD > 2)) && [[ $command == profiles || $command == runs ]]; then
        command="$command ${{COMP_WORDS[2]}}"
      fi ;;
  esac
  case "$command" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  # Not among the words, which are expanded: a name is whatever a file may be called.
  case "$command" in
    {named})
      while [[ $current != -* ]] && IFS= read -r name; do
        if [[ $name == "$current"* ]]; then COMPREPLY+=("$(printf %q "$name")"); fi
      done < <(tui-sync completion names 2>/dev/null) ;;
  esac
}}
complete -o bashdefault -o default -F _tui_sync tui-sync
"""


def _zsh(words: Mapping[str, list[str]]) -> str:
    return f"autoload -Uz bashcompinit && bashcompinit\n{_bash(words)}"


def _fish(words: Mapping[str, list[str]]) -> str:
    lines = ["complete -c tui-sync -e"]
    for key, found in words.items():
        *_, last = key.split() or [""]
        if not key:
            condition = "not __fish_seen_subcommand_from demo profiles runs completion"
        elif " " in key:
            condition = (
                f"__fish_seen_subcommand_from {key.split()[0]}; and __fish_seen_subcommand_from {last}"
            )
        else:
            others = [each.split()[1] for each in words if each.startswith(f"{key} ")]
            condition = f"__fish_seen_subcommand_from {key}"
            if others:
                condition += f"; and not __fish_seen_subcommand_from {' '.join(others)}"
        plain = [word for word in found if not word.startswith("--")]
        if plain:
            lines.append(f"complete -c tui-sync -f -n '{condition}' -a '{' '.join(plain)}'")
        lines += [
            f"complete -c tui-sync -n '{condition}' -l {word.removeprefix('--')}"
            for word in found
            if word.startswith("--")
        ]
        if key in _NAMES_AFTER:
            lines.append(
                f"complete -c tui-sync -n '{condition}' -a '(tui-sync completion names 2>/dev/null)'"
            )
    return "\n".join(lines) + "\n"
