"""Every command of the registry is one that its screen carries out, from its keys, footer and palette."""

from __future__ import annotations

import pytest
from textual.binding import Binding

from tui_sync.tui import actions
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.form import ProfileForm
from tui_sync.tui.screens.history import HistoryScreen
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.screens.report import PastReport, ReportScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen

SCREENS = (
    ProfilesScreen,
    ProfileForm,
    CompareScreen,
    ReviewScreen,
    TransferScreen,
    ReportScreen,
    PastReport,
    HistoryScreen,
)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.__name__)
def test_every_command_of_a_screen_is_carried_out_and_bound(screen: type[FlowScreen]) -> None:
    bound = {
        key: binding.action
        for binding in screen.BINDINGS
        if isinstance(binding, Binding)
        for key in binding.key.split(",")
    }
    for command in actions.commands(screen.GROUP):
        has = hasattr(screen, f"do_{command.name}")
        # What a screen cannot do, it says why not.
        assert has or "why_not" in vars(screen), command.name
        for key in command.keys:
            assert bound[key] == f"do({command.name!r})"


def test_what_works_everywhere_is_the_apps() -> None:
    for command in actions.commands("app"):
        assert hasattr(TuiSyncApp, f"do_{command.name}")


@pytest.mark.parametrize("group", sorted(set(actions.COMMANDS) - {"app", "list"}))
def test_no_key_of_a_screen_means_two_things(group: str) -> None:
    keys = [key for command in actions.commands(group) for key in command.keys]
    keys += [key for command in actions.commands("app") for key in command.keys if group != "imports"]
    assert len(keys) == len(set(keys))
