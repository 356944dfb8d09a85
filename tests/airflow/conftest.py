"""An Airflow of the tests' own, and two SSH servers behind its connections."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sshd import Sshd

OLD = 1_600_000_000
ROOT = Path(__file__).parents[2]
# All DAGs in one folder, as Airflow wants to find those that it runs.
DAGS = Path(tempfile.gettempdir())

if importlib.util.find_spec("airflow") is None:
    if os.environ.get("TUI_SYNC_REQUIRE_AIRFLOW") == "1":
        raise RuntimeError("Airflow is not installed: pip install -e '.[airflow,test]'")
else:
    # Airflow reads these as it is imported.
    HOME = tempfile.mkdtemp(prefix="tui-sync-test-airflow-")
    atexit.register(shutil.rmtree, HOME, ignore_errors=True)
    DAGS = Path(HOME) / "dags"
    DAGS.mkdir()
    for file in (*ROOT.glob("docker/airflow/dags/*.py"), *ROOT.glob("tests/airflow/dags/*.py")):
        shutil.copy(file, DAGS)
    os.environ |= {
        "AIRFLOW_HOME": HOME,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "false",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "NO_PROXY": "*",
    }


def put(path: Path, text: str, mtime: int = OLD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (mtime, mtime))


@pytest.fixture(scope="session")
def database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def servers(require_sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Sshd]]:
    with (
        Sshd(tmp_path_factory.mktemp("source-sshd")) as source,
        Sshd(tmp_path_factory.mktemp("target-sshd")) as target,
    ):
        yield source, target


def connection(server: Sshd, **extra: object) -> str:
    """An Airflow connection to the server, as it stands in the environment."""
    return json.dumps(
        {
            "conn_type": "sftp",
            "host": server.host,
            "port": server.port,
            "login": server.user,
            "extra": {
                "key_file": str(server.identity_file),
                "host_key": server.host_key_line.partition(" ")[2],
                **extra,
            },
        }
    )


@pytest.fixture
def pair(servers: tuple[Sshd, Sshd], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``source``, ``target`` and ``storage``: connections and DAGs lead there."""
    for side, server in zip(("source", "target"), servers, strict=True):
        (tmp_path / side).mkdir()
        monkeypatch.setenv(f"AIRFLOW_CONN_{side.upper()}_SFTP_CONN", connection(server))
        monkeypatch.setenv(f"{side.upper()}_PATH", str(tmp_path / side))
    monkeypatch.setenv("AIRFLOW__TUI_SYNC__STORAGE", f"file://{tmp_path / 'storage'}")
    return tmp_path
