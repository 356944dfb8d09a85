"""Passwords and host keys: asked for by worker threads, answered by a person, given up at the end."""

from __future__ import annotations

import threading

from tests.support import fake_session as fake
from tests.support.fake_session import FakeSession, Sessions
from tests.tui.conftest import MIRROR, MakeApp, ready, shown, until
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.bridge import AppPrompts
from tui_sync.tui.screens.ask import SecretDialog, TrustDialog


async def test_a_password_is_asked_for_and_handed_over(make_app: MakeApp) -> None:
    answers: list[str | None] = []

    def ask(session: FakeSession) -> None:
        answers.append(session.prompts.secret("sourceuser@[b]host", "Password for [/b]\x1b[31m"))

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, SecretDialog))
        page = shown(app)
        assert "sourceuser@[b]host" in page
        assert "[/b]\\x1b[31m" in page
        await pilot.press(*"secret", "enter")
        assert "secret" not in shown(app)
        await ready(pilot)
    assert answers == ["secret"]


async def test_unknown_keys_are_not_trusted_by_default_and_questions_wait_in_line(make_app: MakeApp) -> None:
    answers: list[bool] = []

    def ask(session: FakeSession) -> None:
        def one() -> None:
            answers.append(session.prompts.trust("files.example.org", fake.host_key()))

        threads = [threading.Thread(target=one, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, TrustDialog))
        first = app.screen
        assert "SHA256:1qxuUhKqJLQ5zE7pVYxqv6XZzKJ0hRwT5Yt3mB2nC8s" in shown(app)
        assert len([screen for screen in app.screen_stack if isinstance(screen, TrustDialog)]) == 1
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TrustDialog) and app.screen is not first)
        await pilot.press("y")
        await ready(pilot)
    assert answers == [False, True]


async def test_leaving_releases_whoever_waits_for_an_answer(make_app: MakeApp) -> None:
    released = threading.Event()

    def ask(session: FakeSession) -> None:
        assert session.prompts.secret("host", "Password") is None
        assert session.prompts.secret("host", "Again") is None
        released.set()

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, SecretDialog))
        app.exit(0)
        await until(pilot, lambda: not app.is_running)
    app.close_works()
    assert released.wait(10)


def test_questions_after_the_end_are_answered_no() -> None:
    app = TuiSyncApp()
    prompts = AppPrompts(app)
    prompts.close()
    assert prompts.secret("host", "Password") is None
    assert prompts.trust("host", fake.host_key()) is False
