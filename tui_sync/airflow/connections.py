"""Airflow connections as endpoints: the fields of the SFTP and Amazon Web Services types as their hooks read
them.

Host keys are checked always, also where a connection says ``no_host_key_check``: this program has no way not
to.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.sftp.known_hosts import DEFAULT_PORT, host_name, key_line
from tui_sync.errors import ConnectError, LoginRefused, UsageError
from tui_sync.names import printable
from tui_sync.profiles import urls

_log = logging.getLogger(__name__)

_NOT_CHECKED = ("no_host_key_check", "ignore_hostkey_verification", "allow_host_key_change")


def sftp_endpoint(conn_id: str, path: str, scratch: Path) -> Endpoint:
    """Host, port, login and password of the connection, and of its extra ``key_file``, ``private_key``,
    ``private_key_passphrase`` and ``host_key``; what is named nowhere is as for ``ssh HOST``.

    Raises UsageError.
    """
    where = f"the connection “{conn_id}”"
    connection = _connection(conn_id)
    extra = connection.extra_dejson
    if not connection.host:
        raise UsageError(f"{where} has no host: enter one")
    if extra.get("host_proxy_cmd"):
        raise UsageError(
            f"{where}: host_proxy_cmd is not followed: write ProxyCommand or ProxyJump into the workers' "
            "ssh configuration"
        )
    for key in _NOT_CHECKED:
        if str(extra.get(key, "")).lower() == "true":
            _log.warning("%s says %s, which is not followed: host keys are checked always", where, key)
    options: dict[str, object] = {}
    secrets: dict[str, Callable[[], str]] = {}
    host, port = str(connection.host), int(connection.port or DEFAULT_PORT)
    if str(extra.get("host_key") or "").strip():
        file = scratch / f"known_hosts-{conn_id}"
        file.write_text(_trusted(str(extra["host_key"]), host_name(host, port), where) + "\n")
        options["known_hosts"] = str(file)
    if extra.get("private_key"):
        options["identity_file"] = str(_key_file(scratch / f"key-{conn_id}", str(extra["private_key"])))
    elif extra.get("key_file"):
        options["identity_file"] = str(Path(str(extra["key_file"])).expanduser())
    passphrase, password = extra.get("private_key_passphrase"), connection.password
    if passphrase:
        secrets["passphrase"] = lambda: str(passphrase)
    if password:
        secrets["password"] = lambda: str(password)
    shown = f"[{host}]" if ":" in host else host
    user = quote(str(connection.login or getpass.getuser()), safe="")
    return _located(f"sftp://{user}@{shown}:{port}/{_quoted(path.lstrip('/'))}", where, options, secrets)


def s3_endpoint(conn_id: str, bucket: str, prefix: str) -> Endpoint:
    """Keys, session token or assumed role, region, ``endpoint_url``, ``verify`` and addressing style of the
    connection, as its hook finds them. Raises UsageError."""
    where = f"the connection “{conn_id}”"
    # The hook would go on with the worker's own login where there is no such connection.
    if _connection(conn_id).conn_type != "aws":
        raise UsageError(f"{where} is not of the type Amazon Web Services: name one that is")
    hook = AwsGenericHook(aws_conn_id=conn_id, client_type="s3")
    try:
        return _of_hook(hook, bucket, prefix, where)
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise UsageError(f"{where} cannot be used ({printable(str(error))}): correct its extra") from None
    except (ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError) as error:
        raise ConnectError(f"{where}: no login could be had: {printable(str(error))}") from None
    except (BotoCoreError, ClientError) as error:
        raise LoginRefused(f"{where}: no login could be had: {printable(str(error))}") from None


def _of_hook(hook: Any, bucket: str, prefix: str, where: str) -> Endpoint:
    options: dict[str, object] = {}
    endpoint_url = hook.conn_config.get_service_endpoint_url("s3")
    if endpoint_url:
        if "@" in endpoint_url:
            raise UsageError(f"{where}: endpoint_url holds a login: enter it as login and password instead")
        if not str(endpoint_url).startswith(("http://", "https://")):
            raise UsageError(f"{where}: endpoint_url has to begin with http:// or https://")
        options["endpoint_url"] = str(endpoint_url)
    if hook.region_name:
        options["region"] = str(hook.region_name)
    style = ((hook.conn_config.extra_config.get("config_kwargs") or {}).get("s3") or {}).get(
        "addressing_style"
    )
    if style in ("auto", "path", "virtual"):
        options["addressing"] = style
    if isinstance(hook.verify, str) and hook.verify:
        options["ca_bundle"] = hook.verify
    elif hook.verify is False:
        options["verify_tls"] = False
    return _located(f"s3://{bucket}/{_quoted(prefix.strip('/'))}", where, options, _aws_secrets(hook))


def _connection(conn_id: str) -> Any:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise UsageError(f"there is no connection “{conn_id}”: add it to Airflow") from None


def _quoted(path: str) -> str:
    """A path is no URL: ``%`` is an ordinary character of names."""
    return path.replace("%", "%25")


def _aws_secrets(hook: Any) -> dict[str, Callable[[], str]]:
    """What the hook logs in with; nothing where the connection names no login, and the worker's own chain is
    asked, which renews what expires."""
    config = hook.conn_config
    if config.login and not config.password:
        raise ValueError("the access key is there without its secret")
    if not (config.aws_access_key_id or config.profile_name or config.role_arn):
        return {}
    found = hook.get_session().get_credentials()
    if found is None:
        return {}
    frozen = found.get_frozen_credentials()
    named = {"access_key": frozen.access_key, "secret_key": frozen.secret_key, "session_token": frozen.token}
    return {key: _constant(str(value)) for key, value in named.items() if value}


def _constant(value: str) -> Callable[[], str]:
    return lambda: value


def _located(
    url: str, where: str, options: dict[str, object], secrets: dict[str, Callable[[], str]]
) -> Endpoint:
    try:
        return urls.parse(url, Path("/")).endpoint(options, secrets)
    except ValueError as error:
        raise UsageError(f"the place behind {where} {error}") from None


def _trusted(host_key: str, name: str, where: str) -> str:
    """The known_hosts line of a ``host_key``: a line of ssh-keyscan, ``TYPE BASE64``, or the base64 alone."""
    type_before = ""
    for word in host_key.split():
        try:
            blob = base64.b64decode(word, validate=True)
            length = int.from_bytes(blob[:4], "big")
            key_type = blob[4 : 4 + length].decode("ascii")
        except (binascii.Error, ValueError):
            key_type = ""
        if key_type and 4 + length < len(blob) and type_before in ("", key_type):
            return key_line(name, key_type, blob)
        type_before = word
    raise UsageError(f"{where}: host_key is no public key: enter a line as ssh-keyscan prints it")


def _key_file(file: Path, text: str) -> Path:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8") as opened:
        opened.write(text.replace("\\n", "\n").strip() + "\n")
    return file
