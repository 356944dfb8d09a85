"""Airflow's connections as endpoints, the provider, and the factory's own errors."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is not installed (pip install 'tui-sync[airflow]')")

import airflow
import jsonschema
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException

from tests.airflow.conftest import DAGS, connection, put
from tests.support import s3
from tests.support.sshd import Sshd
from tui_sync.airflow.connections import s3_endpoint, sftp_endpoint
from tui_sync.airflow.factory import sync_dag
from tui_sync.airflow.parts import carry_out
from tui_sync.airflow.places import S3, FromConnections, Sftp
from tui_sync.airflow.plan import make_plan
from tui_sync.airflow.report import make_report
from tui_sync.errors import LoginRefused, ProfileError, UsageError
from tui_sync.model import SyncOptions
from tui_sync.planning.shards import ShardLimits

SECRET = "a-secret-that-must-not-be-seen"


def enter(monkeypatch: pytest.MonkeyPatch, name: str, **fields: object) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))


def test_the_provider_is_as_airflow_wants_it() -> None:
    [entry] = [one for one in entry_points(group="apache_airflow_provider") if one.dist.name == "tui-sync"]
    info = entry.load()()
    schema = json.loads(Path(airflow.__file__).with_name("provider_info.schema.json").read_text())
    jsonschema.validate(info, schema)


def test_the_fields_of_an_sftp_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sshd: Sshd
) -> None:
    key = sshd.host_key_line.partition(" ")[2]
    enter(
        monkeypatch,
        "one",
        conn_type="sftp",
        host="Files.example.org",
        port=2222,
        login="some@one",
        password=SECRET,
        extra={"private_key": "BEGIN\nKEY", "private_key_passphrase": "phrase", "host_key": key},
    )
    endpoint = sftp_endpoint("one", "/upload", tmp_path)
    assert endpoint.url == "sftp://some%40one@files.example.org:2222/upload"
    assert {name: secret() for name, secret in endpoint.secrets.items()} == {
        "password": SECRET,
        "passphrase": "phrase",
    }
    identity = Path(str(endpoint.options["identity_file"]))
    assert identity.read_text() == "BEGIN\nKEY\n"
    assert identity.stat().st_mode & 0o777 == 0o600
    assert Path(str(endpoint.options["known_hosts"])).read_text() == f"[files.example.org]:2222 {key}\n"
    assert SECRET not in repr(endpoint)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "has no host"),
        ({"host": "h", "extra": {"host_proxy_cmd": "nc"}}, "host_proxy_cmd is not followed"),
        ({"host": "h", "extra": {"host_key": "ssh-ed25519 AAAA"}}, "host_key is no public key"),
        ({"host": "h", "extra": {"host_key": "rubbish"}}, "host_key is no public key"),
        ({"host": "h", "extra": {"host_key": "ssh-rsa"}}, "host_key is no public key"),
        ({"host": "not a host"}, "has no usable host name"),
        ({"host": "h", "port": 65536}, "has a port that is no number"),
    ],
)
def test_a_connection_that_cannot_be_used_is_told_in_a_sentence(
    fields: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    enter(monkeypatch, "one", conn_type="sftp", **fields)
    with pytest.raises(UsageError, match=said):
        sftp_endpoint("one", "/", tmp_path)


@pytest.mark.parametrize("line", ["{}", "[h]:22 {}", "{} somebody's comment", " {}\n"])
def test_a_host_key_is_taken_as_it_is_pasted(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sshd: Sshd
) -> None:
    key = sshd.host_key_line.partition(" ")[2]
    enter(monkeypatch, "one", conn_type="sftp", host="h", extra={"host_key": line.format(key)})
    endpoint = sftp_endpoint("one", "/", tmp_path)
    assert Path(str(endpoint.options["known_hosts"])).read_text() == f"h {key}\n"


def test_a_host_key_left_blank_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    enter(monkeypatch, "one", conn_type="sftp", host="h", extra={"host_key": " "})
    assert "known_hosts" not in sftp_endpoint("one", "/", tmp_path).options


def test_a_path_is_no_url_and_a_password_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    enter(monkeypatch, "one", conn_type="sftp", host="h", login="u", password="p@s/:%41#? ü\"'\\")
    endpoint = sftp_endpoint("one", "/50%20off #1?", tmp_path)
    assert (endpoint.path, endpoint.port or 22) == ("/50%20off #1?", 22)
    assert endpoint.secrets["password"]() == "p@s/:%41#? ü\"'\\"
    enter(monkeypatch, "two", conn_type="aws", login="k", password="s")
    assert s3_endpoint("two", "bucket", "50%20off").path == "/50%20off"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (None, "there is no connection “one”"),
        ({"conn_type": "sftp", "login": "k"}, "is not of the type Amazon Web Services"),
        ({"login": "k"}, "without its secret"),
        ({"extra": {"profile_name": "nobody"}}, "no login could be had: .*nobody"),
        ({"extra": {"role_arn": "arn:x", "assume_role_method": "begging"}}, "begging"),
        ({"extra": {"config_kwargs": "x"}}, "cannot be used"),
        ({"login": "k", "password": "s", "extra": {"endpoint_url": "http://u:p@h"}}, "holds a login"),
        ({"login": "k", "password": "s", "extra": {"endpoint_url": "minio:9000"}}, "has to begin with http"),
    ],
)
def test_an_aws_connection_that_cannot_be_used_is_told_in_a_sentence(
    fields: dict[str, object] | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fields is not None:
        enter(monkeypatch, "one", **{"conn_type": "aws", **fields})
    with pytest.raises((UsageError, LoginRefused), match=said):
        s3_endpoint("one", "bucket", "")


def test_the_login_of_the_worker_is_left_to_be_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-worker")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    enter(monkeypatch, "one", conn_type="aws")
    assert not s3_endpoint("one", "bucket", "").secrets


def test_the_fields_of_an_aws_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    enter(
        monkeypatch,
        "one",
        conn_type="aws",
        login="key-id",
        password=SECRET,
        extra={
            "aws_session_token": "token",
            "region_name": "eu-west-1",
            "endpoint_url": "https://s3.example.org",
            "verify": False,
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        },
    )
    endpoint = s3_endpoint("one", "bucket", "/some/prefix/")
    assert endpoint.url == "s3://bucket/some/prefix"
    assert endpoint.options == {
        "endpoint_url": "https://s3.example.org",
        "region": "eu-west-1",
        "addressing": "path",
        "verify_tls": False,
    }
    assert {name: secret() for name, secret in endpoint.secrets.items()} == {
        "access_key": "key-id",
        "secret_key": SECRET,
        "session_token": "token",
    }


def unknown(pair: Path) -> FromConnections:
    return FromConnections(
        "test",
        Sftp("source_sftp_conn", str(pair / "source")),
        Sftp("target_sftp_conn", str(pair / "target")),
        SyncOptions(),
    )


def plan(pair: Path) -> tuple[str, list[str]]:
    storage = f"file://{pair / 'storage'}"
    return make_plan(unknown(pair), storage=storage, limits=ShardLimits(), side_by_side=1, name="test")


def test_a_host_key_is_checked_even_where_a_connection_says_not_to(
    pair: Path,
    servers: tuple[Sshd, Sshd],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    another = servers[0].host_key_line.partition(" ")[2]
    monkeypatch.setenv(
        "AIRFLOW_CONN_TARGET_SFTP_CONN", connection(servers[1], no_host_key_check="true", host_key=another)
    )
    with pytest.raises(AirflowFailException, match="host key"):
        plan(pair)
    assert "“target_sftp_conn” says no_host_key_check, which is not followed" in caplog.text


def test_an_unknown_host_key_tells_where_to_enter_it(
    pair: Path, servers: tuple[Sshd, Sshd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(pair))
    monkeypatch.setenv(
        "AIRFLOW_CONN_TARGET_SFTP_CONN", connection(servers[1], no_host_key_check="true", host_key="")
    )
    with pytest.raises(AirflowFailException, match=r"SHA256:.*enter the server's key as host_key"):
        plan(pair)


def test_no_secret_is_stored(
    pair: Path,
    servers: tuple[Sshd, Sshd],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for side, server in zip(("SOURCE", "TARGET"), servers, strict=True):
        fields: dict[str, Any] = json.loads(connection(server))
        fields["password"] = SECRET
        fields["extra"]["private_key"] = server.identity_file.read_text()
        del fields["extra"]["key_file"]
        monkeypatch.setenv(f"AIRFLOW_CONN_{side}_SFTP_CONN", json.dumps(fields))
    put(pair / "source" / "d" / "f", "f")
    caplog.set_level("DEBUG")
    run, [shard] = plan(pair)
    for part in ("folders", shard, "deletes"):
        assert carry_out(unknown(pair), run, part)["exit_code"] == 0
    assert make_report(run, drift_fails=True)["summary"]["created"] == 1
    key = servers[0].identity_file.read_bytes().splitlines()[1]
    for file in (pair / "storage").rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes()
            assert key not in file.read_bytes()
    assert SECRET not in caplog.text
    assert SECRET not in repr(unknown(pair))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give a profile, or both source and target"),
        ({"profile": "p", "sync": {}}, "give either a profile"),
        (
            {"source": Sftp("a", "/"), "target": Sftp("b", "/"), "sync": {"mod": "mirror"}},
            "did you mean mode",
        ),
        ({"source": Sftp("a", "/"), "target": Sftp("b", "/"), "sync": {"mode": "move"}}, "must be one of"),
        ({"profile": "p", "parallel": 0}, "at least 1"),
        ({"profile": "p", "max_active_runs": 2}, "max_active_runs must be 1"),
        ({"profile": "p", "shard_bytes": "much"}, "much"),
    ],
)
def test_a_dag_that_cannot_be_is_told_in_a_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, ProfileError), match=said):
        sync_dag("wrong", **options)


def test_a_dag_of_a_profile_needs_it_only_on_its_workers() -> None:
    dag = sync_dag("by_profile", profile="not-here", schedule="@daily", pool="files")
    assert set(dag.task_ids) == {"plan", "folders", "shard", "deletes", "report"}
    assert {dag.get_task(name).pool for name in ("plan", "folders", "shard", "deletes")} == {"files"}
    assert "airflow pools set files" in (dag.doc_md or "")


def test_reading_the_dags_looks_at_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_at(*_: object) -> None:
        raise AssertionError("a connection was looked at")

    monkeypatch.setattr(BaseHook, "get_connection", looked_at)
    bag = DagBag(DAGS, collect_dags=False)
    bag.collect_dags(safe_mode=False)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"airflow_sftp_sync_dag", "airflow_s3_sync_dag", "mirror_dag"}


def test_an_sftp_server_to_a_prefix_in_a_bucket(
    pair: Path, bucket: s3.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"endpoint_url": bucket.server.endpoint_url, "region_name": "us-east-1"}
    keys = {"login": s3.ADMIN.access_key, "password": s3.ADMIN.secret_key}
    enter(monkeypatch, "target_s3_conn", conn_type="aws", **keys, extra=extra)
    put(pair / "source" / "d" / "f", "f")
    bucket.put("beside", b"kept")
    sides = FromConnections(
        "test",
        Sftp("source_sftp_conn", str(pair / "source")),
        S3("target_s3_conn", bucket.name, "in/here"),
        SyncOptions(),
    )
    storage = f"file://{pair / 'storage'}"
    run, [shard] = make_plan(sides, storage=storage, limits=ShardLimits(), side_by_side=1, name="test")
    for part in ("folders", shard, "deletes"):
        assert carry_out(sides, run, part)["exit_code"] == 0
    assert make_report(run, drift_fails=True)["summary"]["created"] == 1
    assert bucket.files() == {"beside": b"kept", "in/here/d/f": b"f"}
