"""A source and a target, each a lying server, synced by batch mode within this process."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.server import LyingServer
from tui_sync import session as sessions
from tui_sync.batch import BatchOptions, run_batch
from tui_sync.connectors import registry
from tui_sync.connectors.base import Connector, Endpoint, Prompts
from tui_sync.errors import TuiSyncError
from tui_sync.model import SyncOptions
from tui_sync.names import is_ours
from tui_sync.profiles import Profile
from tui_sync.transfer.retry import Retry

QUICK = Retry(first_pause_s=0.001, longest_pause_s=0.002)


@dataclass(frozen=True)
class Ran:
    """``error`` is what was raised before there was a plan."""

    code: int
    records: list[dict[str, Any]]
    err: str
    error: str = ""

    @property
    def summary(self) -> dict[str, Any]:
        assert self.records, (self.err, self.error)
        assert self.records[-1]["event"] == "summary", self.records[-1]
        return self.records[-1]

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        return {record["path"]: record for record in self.records if record["event"] == "item"}


class Pair:
    """Folders ``tree`` of two servers. What is beside them (``outside``) nobody has to touch."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.source = LyingServer(home / "source-disk")
        self.target = LyingServer(home / "target-disk")
        self.ours = self.source.folder / "tree"
        self.theirs = self.target.folder / "tree"
        for folder in (self.ours, self.theirs):
            folder.mkdir()
        self._states = 0
        monkeypatch.setattr(registry, "connect", self._connect)
        monkeypatch.setattr(sessions, "Retry", lambda: QUICK)

    def _connect(self, endpoint: Endpoint, prompts: Prompts) -> Connector:
        return (self.source if endpoint.host == "source" else self.target).connector(endpoint)

    def profile(self, options: SyncOptions) -> Profile:
        sides = (Endpoint(f"sftp://{side}/tree", "sftp", "/tree", side) for side in ("source", "target"))
        return Profile("pair", None, *sides, options)

    def forget(self) -> None:
        """A new ledger from now on."""
        self._states += 1

    @property
    def state(self) -> Path:
        return self.home / f"state-{self._states}"

    def sync(
        self,
        options: SyncOptions | None = None,
        *,
        dry_run: bool = False,
        save_plan: Path | None = None,
        apply: Path | None = None,
        **changed: Any,
    ) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        wanted = replace(options or SyncOptions(workers=1), **changed)
        try:
            how = BatchOptions(
                dry_run=dry_run,
                save_plan=save_plan,
                apply=apply,
                as_json=True,
                state_dir=self.state,
                stdout=out,
                stderr=err,
            )
            code = run_batch(self.profile(wanted), how)
        except TuiSyncError as error:
            return Ran(error.exit_code, [], err.getvalue(), str(error))
        return Ran(code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue())


def tree(root: Path) -> dict[str, bytes | None]:
    """Path to content, None for a folder; without what is ours."""
    found: dict[str, bytes | None] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not is_ours(name)]
        for name in folders:
            found[os.path.relpath(os.path.join(folder, name), root)] = None
        for name in files:
            if not is_ours(name):
                path = Path(folder, name)
                found[os.path.relpath(path, root)] = b"-> link" if path.is_symlink() else path.read_bytes()
    return found


def leftovers(root: Path) -> list[str]:
    """What is ours below the root, but for the trash."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob(".tui-sync*")
        if ".tui-sync-trash" not in path.relative_to(root).parts
    )
