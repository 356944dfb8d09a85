"""Profiles: the saved pairs, and how the last run of each went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType

from tui_sync.errors import TuiSyncError
from tui_sync.names import printable
from tui_sync.tui import actions, text
from tui_sync.tui.bridge import post, run_in_thread
from tui_sync.tui.messages import Finished
from tui_sync.tui.runs import open_existing, outcome_words
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.widgets.bars import ARROW
from tui_sync.tui.widgets.lines import Line, LineList, Painted, centred

if TYPE_CHECKING:
    from tui_sync.ledger import RunRecord
    from tui_sync.profiles import Available
    from tui_sync.profiles.imports import Found
    from tui_sync.tui.screens.form import Draft

# What ``reach.Reach`` calls a place that answers.
ANSWERS = "answers"


@dataclass(frozen=True, slots=True)
class Card:
    """One profile as it is listed. ``problem``: why its last run is not known; ``reached``: whether both
    sides could be used when they were last tried, and what they said; ``doors``: what a knock at source and
    target has shown."""

    found: Available
    last: RunRecord | None = None
    problem: str = ""
    reached: tuple[bool, str] | None = None
    doors: tuple[str, str] = ("", "")


class ProfileList(LineList):
    """Four lines per profile: name and last run, both places, whether they answer, and air."""

    ROW_HEIGHT = 4
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "card--name",
        "card--place",
        "card--arrow",
        "card--muted",
        "card--error",
        "run--good",
        "run--warn",
        "run--bad",
    }

    def __init__(self) -> None:
        super().__init__()
        self.cards: Sequence[Card] = ()

    def show(self, cards: Sequence[Card]) -> None:
        self.cards = cards
        self.reload(self.cursor)

    @property
    def card(self) -> Card | None:
        return self.cards[self.cursor] if self.cursor < len(self.cards) else None

    def row_count(self) -> int:
        return len(self.cards)

    def draw(self, row: int, width: int, cursor: bool) -> list[Line]:
        card = self.cards[row]
        on = self.row_style(cursor)
        edge = Segment(" ▌ " if cursor else "   ", self.ink(*on, "card--arrow"))
        glyph, when, tone = self._last(card)
        room = max(8, width - 6 - cell_len(when))
        first: Line = [
            edge,
            Segment(text.fit(printable(card.found.name), room), self.ink(*on, "card--name")),
            Segment(f"{glyph} " if glyph else "  ", self.ink(*on, tone)),
            Segment(f"{when} ", self.ink(*on, "card--muted")),
        ]
        return [first, *([edge, *line] for line in self._below(card, width - 4, on))]

    def _last(self, card: Card) -> tuple[str, str, str]:
        """The last run as glyph, words and tone."""
        if card.found.profile is None:
            return "!", "cannot be used", "run--bad"
        if card.problem:
            return "!", "ledger cannot be read", "run--bad"
        if card.last is None:
            return "", "never run", "card--muted"
        glyph, words, tone = outcome_words(card.last.summary)
        when = text.ago(card.last.started_ns, self.app.now_ns())  # type: ignore[attr-defined]
        summary = card.last.summary
        if summary is None:
            return glyph, f"{words} {when}", tone
        files = text.count(summary.created + summary.updated, "file")
        return glyph, f"{words} {when} · {files} · {text.size(summary.bytes)}", tone

    def _below(self, card: Card, width: int, on: tuple[str, ...]) -> list[Line]:
        """Both places, or what is wrong in up to two lines."""
        profile = card.found.profile
        if profile is None or card.problem:
            words = printable(card.problem or card.found.error or "")
            words = words.removeprefix(f"{printable(str(card.found.path))}: ")
            lines = text.wrap(words, width)
            if len(lines) > 2:
                lines = [lines[0], text.shorten(" ".join(lines[1:]), width)]
            return [[Segment(line, self.ink(*on, "card--error"))] for line in lines]
        room = width - len(ARROW)
        source = text.shorten(
            printable(profile.source.url), max(room // 2, room - cell_len(printable(profile.target.url)))
        )
        target = text.shorten(printable(profile.target.url), room - cell_len(source))
        below: list[Line] = [
            [
                Segment(source, self.ink(*on, "card--place")),
                Segment(ARROW, self.ink(*on, "card--arrow")),
                Segment(target, self.ink(*on, "card--place")),
            ]
        ]
        if card.reached is not None:
            fine, words = card.reached
            tone = "run--good" if fine else "run--bad"
            mark = "✓" if fine else "!"
            below.append([Segment(text.shorten(f"{mark} {words}", width), self.ink(*on, tone))])
        elif any(card.doors):
            below.append(self._doors(card.doors, on))
        return below

    def _doors(self, doors: tuple[str, str], on: tuple[str, ...]) -> Line:
        """``✓ Source answers   ! Target: no answer``."""
        line: Line = []
        for side, word in zip(("Source", "Target"), doors, strict=True):
            if word:
                fine = word == ANSWERS
                words = f"✓ {side} {word}" if fine else f"! {side}: {word}"
                line.append(Segment(f"{words}   ", self.ink(*on, "run--good" if fine else "run--bad")))
        return line


class Welcome(Painted):
    """What to do where there is no profile yet."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"panel--title", "panel--words", "panel--number", "panel--key"}

    folder = ""
    trouble = ""

    def paint(self, width: int, height: int) -> list[Line]:
        """``trouble``, a printable sentence, stands instead of what to do first."""
        inner = min(width - 4, 72)
        if self.trouble:
            bad: list[Line] = [
                [Segment(line, self.ink("panel--words"))] for line in text.wrap(self.trouble, inner)
            ]
            heading: Line = [Segment("! Could not read the profiles", self.ink("panel--title"))]
            return centred([heading, [], *bad], width, height, self)
        title, words, code = self.ink("panel--title"), self.ink("panel--words"), self.ink("panel--number")
        key = self.ink("panel--key")
        lines: list[Line] = [
            [Segment("No profiles yet", title)],
            [],
            [Segment("A profile is a saved pair: one small TOML file in", words)],
            [Segment(text.shorten(printable(self.folder), inner), code)],
            [],
            [Segment("  [source]", code)],
            [Segment('  url = "sftp://user@host/folder"', code)],
            [Segment("  [target]", code)],
            [Segment('  url = "/local/folder"', code)],
            [],
            [
                Segment("   n", key),
                Segment("  make one; i takes a place from rclone or ssh", words),
            ],
            [Segment("   c", key), Segment("  compare two places right now, without a profile", words)],
            [Segment("   q", key), Segment("  leave (tui-sync demo shows it all on sample data)", words)],
        ]
        return centred(lines, width, height, self)


class ProfilesScreen(FlowScreen):
    """Where the app begins."""

    PLACE = "Profiles"
    GROUP = "profiles"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("profiles")

    def __init__(self) -> None:
        super().__init__()
        self._reached: dict[str, tuple[bool, str]] = {}
        self._doors: dict[str, str] = {}
        self._known = False

    def body(self) -> ComposeResult:
        yield ProfileList()
        yield Welcome()

    def on_mount(self) -> None:
        self.query_one(Welcome).display = False
        self.query_one(ProfileList).focus()

    def on_screen_resume(self) -> None:
        # Reading profiles loads a good deal: first something to look at.
        self.call_after_refresh(self.read)

    def read(self) -> None:
        """List the profiles and their last runs, on a thread."""
        run_in_thread(self, self._read, self._show, self._failed, name="tui-sync-profiles")

    def _read(self) -> tuple[Path, list[Card]]:
        from tui_sync import profiles

        folder = self.ours.profiles_folder or profiles.folder()
        return folder, [self._card(found) for found in profiles.available(folder)]

    def _card(self, found: Available) -> Card:
        if found.profile is None:
            return Card(found)
        try:
            ledger = open_existing(found.profile, self.ours.state_dir)
            if ledger is None:
                return Card(found)
            try:
                runs = ledger.runs(1)
            finally:
                ledger.close()
        except TuiSyncError as error:
            return Card(found, problem=str(error))
        return Card(found, runs[0] if runs else None)

    def _show(self, read: tuple[Path, list[Card]]) -> None:
        folder, cards = read
        self._known = True
        profiles, welcome = self.query_one(ProfileList), self.query_one(Welcome)
        profiles.display, welcome.display = bool(cards), not cards
        profiles.show(self._with_reached(cards))
        welcome.folder, welcome.trouble = str(folder), ""
        welcome.refresh()
        if cards and self.is_active:
            profiles.focus()
        self._knock(cards)

    def _knock(self, cards: Sequence[Card]) -> None:
        """See which places answer, each once; ``rescan`` looks again."""
        from tui_sync.tui.reach import Reach, knock, knock_at_all

        pairs = [card.found.profile for card in cards if card.found.profile is not None]
        places = {end.url: end for pair in pairs for end in (pair.source, pair.target)}
        new = [end for url, end in places.items() if url not in self._doors]
        doors = self._doors
        doors.update((end.url, "") for end in new)

        def told(url: str, reach: Reach) -> None:
            doors[url] = reach.value
            post(self, Finished(self._mark))

        knock_at_all(new, self.ours.knock or knock, told)

    def _failed(self, sentence: str) -> None:
        profiles, welcome = self.query_one(ProfileList), self.query_one(Welcome)
        profiles.show(())
        profiles.display, welcome.display = False, True
        welcome.trouble = sentence
        welcome.refresh()

    def why_not(self, name: str) -> str:
        if name in ("open", "history"):
            card = self.query_one(ProfileList).card
            if card is None:
                return f"{self._why_none()}: press c to compare two places without one."
            if card.found.profile is None:
                return f"This profile cannot be used: {printable(card.found.error or '')}"
        if name in ("edit", "test"):
            card = self.query_one(ProfileList).card
            if card is None:
                return f"{self._why_none()}: press n to make one."
            if name == "test" and card.found.profile is None:
                return f"This profile cannot be used: {printable(card.found.error or '')}"
        return ""

    def _why_none(self) -> str:
        if self.query_one(Welcome).trouble:
            return "The profiles could not be read"
        return "There is no profile yet" if self._known else "The profiles are still being read"

    def do_open(self) -> None:
        card = self.query_one(ProfileList).card
        assert card is not None
        assert card.found.profile is not None
        self.ours.open_profile(card.found.profile)

    def do_history(self) -> None:
        from tui_sync.tui.screens.history import HistoryScreen

        card = self.query_one(ProfileList).card
        assert card is not None
        assert card.found.profile is not None
        self.app.push_screen(HistoryScreen(card.found.profile))

    def do_quick(self) -> None:
        from tui_sync.tui.screens.ask import QuickDialog

        def answered(places: tuple[str, str] | None) -> None:
            from tui_sync import profiles

            if places is None:
                return
            try:
                self.ours.open_profile(profiles.quick(*places))
            except TuiSyncError as error:
                self.say(printable(str(error)), warning=True)

        self.app.push_screen(QuickDialog(), answered)

    def do_new(self) -> None:
        from tui_sync.tui.screens.form import Draft

        self._open_form(Draft())

    def do_edit(self) -> None:
        card = self.query_one(ProfileList).card
        assert card is not None
        try:
            self.ours.edit_profile(card.found.path)
        except TuiSyncError as error:
            self.say(str(error), warning=True)

    def _open_form(self, draft: Draft) -> None:
        from tui_sync import profiles
        from tui_sync.tui.screens.form import ProfileForm

        self.app.push_screen(ProfileForm(self.ours.profiles_folder or profiles.folder(), draft))

    def do_imports(self) -> None:
        from tui_sync.tui.screens.form import Draft
        from tui_sync.tui.screens.imports import ImportScreen

        def chosen(place: tuple[str, Found] | None) -> None:
            if place is not None:
                side, found = place
                self._open_form(Draft(settings={side: {"url": found.url, **found.settings}}))

        self.app.push_screen(ImportScreen(), chosen)

    def do_test(self) -> None:
        from tui_sync.tui.probe import look_at_both

        cards = self.query_one(ProfileList)
        card = cards.card
        assert card is not None
        profile = card.found.profile
        assert profile is not None
        prompts = self.ours.new_prompts()
        key = profile.pair_id

        def ended(found: tuple[bool, str]) -> None:
            prompts.close()
            self._reached[key] = found
            self._mark()

        self._reached[key] = (True, "trying both sides …")
        self._mark()
        run_in_thread(
            self,
            lambda: look_at_both(profile, prompts),
            ended,
            lambda sentence: ended((False, sentence)),
            name="tui-sync-test",
        )

    def _mark(self) -> None:
        """Put into the cards what is known of their places."""
        cards = self.query_one(ProfileList)
        cards.show(self._with_reached(cards.cards))

    def _with_reached(self, cards: Sequence[Card]) -> list[Card]:
        return [
            replace(
                card,
                reached=self._reached.get(card.found.profile.pair_id),
                doors=(
                    self._doors.get(card.found.profile.source.url, ""),
                    self._doors.get(card.found.profile.target.url, ""),
                ),
            )
            if card.found.profile is not None
            else card
            for card in cards
        ]

    def do_rescan(self) -> None:
        self._doors = {}
        self.read()

    def do_back(self) -> None:
        self.ours.do_quit()

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        self.update_keys()

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        self.action_do("open")
