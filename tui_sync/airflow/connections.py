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
from airflow.providers.sftp.hooks.sftp import SFTPHook

from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.sftp.known_hosts import DEFAULT_PORT, host_name, key_line
from tui_sync.errors import UsageError
from tui_sync.profiles import urls

_log = logging.getLogger(__name__)

_NOT_CHECKED = ("no_host_key_check", "ignore_hostkey_verification", "allow_host_key_change")


def sftp_endpoint(conn_id: str, path: str, scratch: Path) -> Endpoint:
    """Host, port, login and password of the connection, and of its extra ``key_file``, ``private_key``,
    ``private_key_passphrase`` and ``host_key``; what is named nowhere is as for ``ssh HOST``.

    Raises UsageError.
    """
    connection = SFTPHook.get_connection(conn_id)
    extra = connection.extra_dejson
    where = f"the connection “{conn_id}”"
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
    if extra.get("host_key"):
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
    return _located(f"sftp://{user}@{shown}:{port}/{path.lstrip('/')}", where, options, secrets)


def s3_endpoint(conn_id: str, bucket: str, prefix: str) -> Endpoint:
    """Keys, session token or assumed role, region, ``endpoint_url``, ``verify`` and addressing style of the
    connection, as its hook finds them. Raises UsageError."""
    hook = AwsGenericHook(aws_conn_id=conn_id, client_type="s3")
    where = f"the connection “{conn_id}”"
    options: dict[str, object] = {}
    endpoint_url = hook.conn_config.get_service_endpoint_url("s3")
    if endpoint_url:
        if "@" in endpoint_url:
            raise UsageError(f"{where}: endpoint_url holds a login: enter it as login and password instead")
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
    return _located(f"s3://{bucket}/{prefix.strip('/')}", where, options, _aws_secrets(hook))


def _aws_secrets(hook: Any) -> dict[str, Callable[[], str]]:
    """What the hook logs in with; nothing where it knows none, and the worker's own chain is asked."""
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
    """The known_hosts line of a ``host_key``: ``TYPE BASE64``, or the base64 alone."""
    words = host_key.split()
    text = words[1] if len(words) > 1 else words[0]
    try:
        blob = base64.b64decode(text, validate=True)
        length = int.from_bytes(blob[:4], "big")
        key_type = blob[4 : 4 + length].decode("ascii")
    except (binascii.Error, ValueError):
        key_type = ""
        blob = b""
    if not key_type or (len(words) > 1 and words[0] != key_type):
        raise UsageError(
            f"{where}: host_key is no public key: enter it as ssh-keyscan prints it, TYPE BASE64"
        )
    return key_line(name, key_type, blob)


def _key_file(file: Path, text: str) -> Path:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8") as opened:
        opened.write(text.replace("\\n", "\n").strip() + "\n")
    return file
