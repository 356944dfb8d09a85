"""One folder under two names is not synced with itself, nor with what lies in it."""

from __future__ import annotations

import dataclasses
import getpass
import pwd
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.contract.support import BatchPrompts
from tests.support.sshd import Sshd
from tui_sync.connectors import registry
from tui_sync.connectors.apart import check_apart
from tui_sync.connectors.base import Connector, Endpoint, Mark, Place
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.errors import UsageError
from tui_sync.model import SyncOptions
from tui_sync.profiles import Profile
from tui_sync.session import Session


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(opened: ExitStack, endpoint: Endpoint) -> Connector:
    connector = registry.connect(endpoint, BatchPrompts())
    opened.callback(connector.close)
    return connector


def local(path: Path) -> Endpoint:
    return Endpoint(f"file://{path}", "file", str(path))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """``real/sub``, ``apart``, and ``link``, which leads to ``real``."""
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "apart").mkdir()
    (tmp_path / "link").symlink_to("real")
    return tmp_path


@pytest.mark.parametrize("transport", ["openssh", "paramiko"])
@pytest.mark.parametrize(
    ("source", "target", "problem"),
    [
        ("real", "link", "the same folder"),
        ("real/sub", "link", "the source lies inside the target"),
        ("link", "real/sub", "the target lies inside the source"),
        ("link", "real/new", "the target lies inside the source"),
        ("real", "apart", None),
    ],
)
def test_two_folders_of_one_server(
    sshd: Sshd,
    folders: Path,
    opened: ExitStack,
    transport: str,
    source: str,
    target: str,
    problem: str | None,
) -> None:
    # As user and as whoever is logged in here, which is the same person.
    one = dataclasses.replace(sshd.endpoint(folders / source, transport=transport), user=None)
    sides = [connect(opened, one), connect(opened, sshd.endpoint(folders / target, transport=transport))]
    if problem is None:
        check_apart(*sides)
        return
    with pytest.raises(UsageError, match=problem):
        check_apart(*sides)


def test_the_login_folder_by_its_path_and_as_such(sshd: Sshd, opened: ExitStack) -> None:
    home = pwd.getpwnam(getpass.getuser()).pw_dir
    sides = [connect(opened, sshd.endpoint(path)) for path in ("/~/", home)]
    with pytest.raises(UsageError, match="the same folder"):
        check_apart(*sides)


def test_a_local_folder_and_a_server_on_this_machine(sshd: Sshd, folders: Path, opened: ExitStack) -> None:
    server = connect(opened, sshd.endpoint(folders / "link"))
    with pytest.raises(UsageError, match="the source lies inside the target"):
        check_apart(connect(opened, local(folders / "real/sub")), server)
    check_apart(connect(opened, local(folders / "apart")), server)


@dataclass
class Somewhere(MemoryConnector):
    server: str = ""
    where: Place = field(default_factory=lambda: Place("/"))

    def place(self) -> Place:
        return self.where


MINE: Mark = (1_700_000_000, 1000, 1000, 0o755)
OTHERS: Mark = (1_700_000_000, 1001, 1001, 0o755)


@pytest.mark.parametrize(
    ("server", "mark", "apart"),
    [("sftp h:22", MINE, False), ("sftp h:22", OTHERS, True), ("sftp g:22", MINE, True)],
)
def test_one_path_may_be_two_folders(server: str, mark: Mark, apart: bool) -> None:
    one = Somewhere("sftp h:22", Place("/", {"/": MINE}))
    other = Somewhere(server, Place("/data", {"/": mark, "/data": MINE}))
    if apart:
        check_apart(one, other)
        return
    with pytest.raises(UsageError, match="the target lies inside the source"):
        check_apart(one, other)


class Changing(Somewhere):
    """A folder whose modification time is another one each time that it is looked at."""

    def __init__(self, label: str, seconds: Iterable[int]) -> None:
        super().__init__(label)
        self.seconds = iter(seconds)

    def place(self) -> Place:
        return Place("/in", {"/": MINE, "/in": (next(self.seconds), *MINE[1:])})


@pytest.mark.parametrize(
    ("source", "target", "apart"),
    [
        ([1, 1], [2], True),
        ([1, 2], [2, 2], False),
        ([1, 2, 3], [2, 3, 3], False),
        ([1, 2, 2], [7, 7], True),
        (count(0, 2), count(1, 2), False),
    ],
)
def test_a_folder_in_use(source: Iterable[int], target: Iterable[int], apart: bool) -> None:
    sides = Changing("sftp h:22", source), Changing("sftp h:22", target)
    if apart:
        check_apart(*sides)
        return
    with pytest.raises(UsageError, match="the same folder"):
        check_apart(*sides)


def test_a_session_makes_no_plan_for_them(sshd: Sshd, folders: Path) -> None:
    (folders / "real/sub/doc").write_text("the only copy")
    profile = Profile(
        "pair", None, sshd.endpoint(folders / "real/sub"), sshd.endpoint(folders / "link"), SyncOptions()
    )
    session = Session(profile, prompts=BatchPrompts(), state_dir=folders / "state")
    try:
        with pytest.raises(UsageError, match="lies inside the target"):
            session.make_plan()
    finally:
        session.close()
