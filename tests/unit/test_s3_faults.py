"""What a server or botocore says, in one sentence of ours and with the right exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest
from botocore import exceptions as boto

from tui_sync.connectors.s3 import faults
from tui_sync.errors import (
    ConnectError,
    ConnectionLost,
    Drifted,
    LoginRefused,
    NoSpace,
    NotFound,
    NotSupported,
    PermissionDenied,
    StorageError,
    TimedOut,
    TuiSyncError,
    VerifyFailed,
)

SECRET = "StringToSignWithASecret"


def answer(code: str, status: int = 400, message: str = SECRET) -> boto.ClientError:
    return boto.ClientError(
        {
            "Error": {"Code": code, "Message": message, "AWSAccessKeyId": "AKIA"},
            "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 2},
        },
        "GetObject",
    )


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (answer("NoSuchKey", 404), NotFound, "does not exist"),
        (answer("404", 404), NotFound, "does not exist"),
        (answer("NoSuchBucket", 404), NotFound, "make the bucket first"),
        (answer("NoSuchUpload", 404), NotFound, "upload"),
        (answer("AccessDenied", 403), PermissionDenied, "permission denied"),
        (answer("403", 403), PermissionDenied, "permission denied"),
        (answer("InvalidAccessKeyId", 403), LoginRefused, "access_key"),
        (answer("SignatureDoesNotMatch", 403), LoginRefused, "secret_key"),
        (answer("ExpiredToken"), LoginRefused, "expired"),
        (answer("RequestTimeTooSkewed", 403), LoginRefused, "clock"),
        (answer("SlowDown", 503), TimedOut, "busy"),
        (answer("InternalError", 500), TimedOut, "busy"),
        (answer("502", 502), TimedOut, "busy"),
        (answer("BadDigest"), VerifyFailed, "other bytes"),
        (answer("QuotaExceeded", 403), NoSpace, "quota"),
        (answer("507", 507), NoSpace, "no space"),
        (answer("501", 501), NotSupported, "no such operation"),
        (answer("InvalidObjectState", 403), StorageError, "archived"),
        (answer("PermanentRedirect", 301), StorageError, "region"),
        (boto.EndpointConnectionError(endpoint_url="http://x"), ConnectError, "endpoint_url"),
        (boto.ConnectTimeoutError(endpoint_url="http://x"), ConnectError, "endpoint_url"),
        (boto.SSLError(endpoint_url="https://x", error="self-signed"), ConnectError, "ca_bundle"),
        (boto.ReadTimeoutError(endpoint_url="http://x"), TimedOut, "in time"),
        (boto.ConnectionClosedError(endpoint_url="http://x"), ConnectionLost, "lost"),
        (boto.NoCredentialsError(), LoginRefused, "anonymous"),
        (boto.ProfileNotFound(profile="p"), LoginRefused, "aws_profile"),
        (boto.UnauthorizedSSOTokenError(), LoginRefused, "log in with the AWS tools"),
        (boto.FlexibleChecksumError(error_msg="crc32"), VerifyFailed, "checksum"),
        (boto.ParamValidationError(report=SECRET), StorageError, "ParamValidationError"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:40],
)
def test_an_error_is_translated(error: Exception, kind: type[TuiSyncError], words: str) -> None:
    made = faults.translated(error, "read", "folder/fi\x1ble", "bucket")
    assert type(made) is kind
    assert words in str(made)
    assert SECRET not in str(made)
    assert "AKIA" not in str(made)
    assert str(made).isprintable()


def test_an_unknown_answer_is_quoted_so_that_it_can_be_shown() -> None:
    made = faults.translated(answer("Strange\x1b", 418, "tea\x1b[31m" * 100), "read", "", "bucket")
    assert "Strange\\x1b" in str(made)
    assert str(made).isprintable()
    assert len(str(made)) < 500


def test_our_own_errors_pass_as_they_are() -> None:
    error = Drifted("the source changed")
    assert faults.translated(error, "read", "a", "b") is error


def test_a_precondition_and_its_attempts_are_told() -> None:
    assert faults.refused(answer("PreconditionFailed", 412))
    assert faults.refused(answer("ConditionalRequestConflict", 409))
    assert not faults.refused(answer("AccessDenied", 403))
    assert faults.attempts_of(answer("PreconditionFailed", 412)) == 3
    assert faults.attempts_of(ValueError()) == 1


@pytest.mark.parametrize("room", ["tui_sync.session", "tui_sync.connectors.registry", "tui_sync.profiles"])
def test_botocore_is_loaded_only_when_it_is_asked_for(room: str) -> None:
    code = f"import {room}, sys; print(*(name for name in sys.modules if name.startswith('boto')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
