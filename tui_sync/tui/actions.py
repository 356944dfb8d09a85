"""The one registry of what a person can do: it feeds bindings, footer, help and palette.

A command belongs to a group: a screen of the flow, ``app`` for everywhere, ``list`` for every list of rows,
``ask`` for dialogs. Screens carry a command out in a method ``do_<name>`` and explain in ``why_not`` when
they cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType

_SHOWN = {
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
    "tab": "Tab",
    "slash": "/",
    "question_mark": "?",
    "equals_sign": "=",
    "shift+tab": "⇧Tab",
    "plus": "+",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One thing a person can do. ``label`` stands in the footer where ``rank`` is not 0: the lower the rank,
    the longer it stays when room gets scarce. ``help`` is the line of the help screen and the palette."""

    name: str
    keys: tuple[str, ...]
    label: str
    help: str
    rank: int = 0

    @property
    def shown_key(self) -> str:
        """The first key as the footer shows it."""
        return show_key(self.keys[0])

    @property
    def shown_keys(self) -> str:
        return "  ".join(show_key(key) for key in self.keys)


def show_key(key: str) -> str:
    """A key as a person knows it: ``F5``, ``^r``, ``Esc``."""
    if key in _SHOWN:
        return _SHOWN[key]
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    if key[0] == "f" and key[1:].isdigit():
        return key.upper()
    return key


COMMANDS: dict[str, tuple[Command, ...]] = {
    "app": (
        Command("help", ("question_mark", "f1"), "Help", "Show what every key does", 2),
        Command("palette", ("ctrl+p",), "Commands", "Find a command by its name", 19),
        Command("run", ("t",), "Run", "Go back to the run that is under way"),
        Command("quit", ("q", "ctrl+q", "ctrl+c"), "Quit", "Leave tui-sync", 17),
    ),
    "list": (
        Command("cursor_up", ("up", "k"), "Up", "One row up"),
        Command("cursor_down", ("down", "j"), "Down", "One row down"),
        Command("page_up", ("pageup", "ctrl+b"), "Page up", "One page up"),
        Command("page_down", ("pagedown", "ctrl+f"), "Page down", "One page down"),
        Command("cursor_home", ("home", "g"), "First", "To the first row"),
        Command("cursor_end", ("end", "G"), "Last", "To the last row"),
    ),
    "profiles": (
        Command("open", ("enter",), "Open", "Connect both sides of the profile and compare them", 1),
        Command("quick", ("c",), "Quick connect", "Compare two places without a profile", 3),
        Command("new", ("n",), "New", "Make a profile", 4),
        Command("edit", ("e", "f4"), "Edit", "Change the profile", 5),
        Command("test", ("p",), "Test", "Try to connect to both sides of the profile", 6),
        Command("imports", ("i",), "Import", "Begin a profile with a place that rclone, ssh or aws knows", 8),
        Command("history", ("h",), "History", "Show the past runs of the profile", 7),
        Command("rescan", ("ctrl+r",), "Reload", "Read the profiles folder again", 9),
        Command("back", ("escape",), "Back", "Leave tui-sync"),
    ),
    "form": (
        Command("save", ("ctrl+s", "f2"), "Save", "Write the profile", 1),
        Command("test", ("ctrl+t",), "Test", "Try to connect to both sides", 3),
        Command("back", ("escape",), "Back", "Back to the profiles; asks where something was typed", 4),
    ),
    "imports": (
        Command("source", ("enter",), "Source", "Take the place as the source of a new profile", 1),
        Command("target", ("t",), "Target", "Take the place as the target of a new profile", 3),
        Command("back", ("escape",), "Close", "Close", 4),
    ),
    "compare": (
        Command("review", ("f5",), "Review", "Go on: look through what would be done", 1),
        Command("include", ("space",), "In/out", "Take the row and all below it out, or back in", 3),
        Command("open", ("enter",), "Open", "Fold or unfold a folder; show the differences of a file", 4),
        Command("filter", ("slash",), "Filter", "Show only names that hold a text", 5),
        Command(
            "hide_equal",
            ("e", "equals_sign"),
            "Hide equal",
            "Hide what is equal on both sides, or show it",
            6,
        ),
        Command("only", ("v",), "View", "Show only what is to be created, or replaced, or deleted …", 10),
        Command("sort", ("s",), "Sort", "Sort each folder by name, by size, or by change", 11),
        Command(
            "override",
            ("a",),
            "Do otherwise",
            "Delete what copy mode keeps, copy what is equal; or not",
        ),
        Command("next_change", ("n",), "Next change", "To the next row that differs", 8),
        Command("previous_change", ("N",), "Previous change", "To the row before that differs"),
        Command("switch_pane", ("tab", "shift+tab"), "Other side", "Make the other side the active one"),
        Command("fold", ("left",), "Fold", "Fold the folder, or go to the one above"),
        Command("unfold", ("right",), "Unfold", "Unfold the folder"),
        Command("fold_all", ("left_square_bracket",), "Fold all", "Fold all folders"),
        Command("unfold_all", ("right_square_bracket",), "Unfold all", "Unfold all folders"),
        Command("rescan", ("ctrl+r",), "Rescan", "List both sides again and make a new plan", 7),
        Command("start", ("f9", "ctrl+s"), "Review", "Go on to the review; the run starts there"),
        Command("edit", ("f4",), "Edit profile", "Change the profile where its sides could not be compared"),
        Command("history", ("h",), "History", "Show the past runs of this pair"),
        Command("back", ("escape",), "Back", "Clear the filter, stop listing, or go back", 9),
    ),
    "review": (
        Command("start", ("f9", "ctrl+s"), "Start", "Carry out the plan", 1),
        Command("include", ("space",), "In/out", "Take the item out of the plan, or put it back in", 3),
        Command("open", ("enter",), "Differences", "Show the differences of a file", 6),
        Command(
            "switch_pane", ("tab", "shift+tab"), "Deletes", "Go between the checklist and the deletes", 4
        ),
        Command("rescan", ("ctrl+r",), "Rescan", "List both sides again and make a new plan", 8),
        Command(
            "save_plan", ("w",), "Save plan", "Write the plan to a file, for tui-sync --batch --apply", 9
        ),
        Command("override", ("o",), "Override", "Run a refused plan all the same: asks for a word", 7),
        Command("back", ("escape", "f5"), "Back", "Back to the trees; nothing has been written", 5),
    ),
    "transfer": (
        Command("pause", ("p",), "Pause/resume", "Stop at the next block, or go on", 1),
        Command("drain", ("d",), "Finish files", "Finish the files in flight, then stop", 3),
        Command("cancel", ("c",), "Cancel", "Stop now; nothing half-written stays under a final name", 4),
        Command("skip", ("s",), "Skip file", "Give up the file under the cursor; the next run copies it", 5),
        Command("more", ("plus", "equals_sign"), "More", "Copy one more file at a time", 6),
        Command("fewer", ("minus",), "Fewer workers", "Copy one file less at a time", 8),
        Command("limit", ("b",), "Limit", "Set or lift the bandwidth limit", 7),
        Command("back", ("escape",), "Leave", "Go elsewhere; the run goes on, and t leads back to it", 9),
    ),
    "report": (
        Command("open", ("enter",), "Compare again", "List both sides again", 1),
        Command("retry", ("r",), "Retry failed", "Plan what did not go through anew, and review it", 3),
        Command("filter", ("f",), "Filter", "Show the items that ended in another way", 4),
        Command("filter_back", ("F",), "Filter back", "The filter before"),
        Command("export", ("x",), "Export", "Write the receipt to a file: HTML, JSON or CSV", 5),
        Command("history", ("h",), "History", "Show the past runs of this pair", 6),
        Command("back", ("escape",), "Profiles", "Back to where you came from", 7),
    ),
    "history": (
        Command("open", ("enter",), "Open", "Show the report of the run", 1),
        Command("export", ("x",), "Export", "Write the receipt to a file: HTML, JSON or CSV", 4),
        Command("back", ("escape",), "Back", "Back to where you came from", 3),
    ),
    "diff": (
        Command("columns", ("s",), "Columns", "One column or two", 3),
        Command("first_byte", ("b",), "First byte", "Compare all bytes, and tell the first that differs", 4),
        Command("back", ("escape", "enter"), "Close", "Close", 1),
    ),
    "view": (Command("back", ("escape", "enter"), "Close", "Close", 1),),
}

GLYPH_HELP = (
    ("+", "new: only on the source"),
    ("M", "changed; of a folder: something below it differs"),
    ("-", "to be deleted on the target"),
    ("=", "equal on both sides"),
    ("<", "changed, and the target is newer"),
    ("T", "file on one side, folder on the other"),
    ("!", "could not be read or must not be used"),
    ("x", "excluded: by a filter, or taken out by you"),
    (".", "only on the target, and left there"),
)


def commands(*groups: str) -> tuple[Command, ...]:
    """The commands of some groups, in order."""
    return tuple(command for group in groups for command in COMMANDS[group])


def bindings(*groups: str, prefix: str = "do") -> list[BindingType]:
    """Textual's bindings for some groups. With ``prefix`` ``do`` they call the screen's ``action_do``, with
    ``""`` the widget's own ``action_<name>``."""
    return [
        Binding(
            ",".join(command.keys),
            f"{prefix}({command.name!r})" if prefix else command.name,
            command.label,
            show=False,
        )
        for command in commands(*groups)
    ]
