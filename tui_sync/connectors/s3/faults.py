"""What S3 servers and botocore say went wrong, in the program's own errors. No secret is in any message."""

from __future__ import annotations

from typing import Any

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError as BodyBroken

from tui_sync.errors import (
    ConnectError,
    ConnectionLost,
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
from tui_sync.names import printable

_LOGIN = {
    "InvalidAccessKeyId": "the access key is not known there: check access_key",
    "SignatureDoesNotMatch": "the secret key does not fit the access key: check secret_key",
    "ExpiredToken": "the session token has expired: get a new one and start again",
    "InvalidToken": "the session token is not valid: get a new one and start again",
    "TokenRefreshRequired": "the session token has to be renewed: get a new one and start again",
    "AuthorizationHeaderMalformed": "the login is not made out for this region: check region",
    "AuthFailure": "the credentials are not accepted: check access_key and secret_key",
    "UnauthorizedAccess": "the credentials are not accepted: check access_key and secret_key",
    "InvalidSecurity": "the credentials are not accepted: check access_key and secret_key",
    "RequestTimeTooSkewed": "the clock of this machine differs too much from the server's: set it",
    "RequestExpired": "the clock of this machine differs too much from the server's: set it",
}
_CODES: dict[str, tuple[type[TuiSyncError], str]] = {
    "NoSuchKey": (NotFound, "it does not exist"),
    "NotFound": (NotFound, "it does not exist"),
    "NoSuchUpload": (NotFound, "the upload does not exist any more"),
    "AccessDenied": (PermissionDenied, "permission denied"),
    "AllAccessDisabled": (PermissionDenied, "permission denied"),
    "MethodNotAllowed": (PermissionDenied, "the server does not allow that"),
    "InvalidObjectState": (StorageError, "it is archived: restore it first"),
    "KeyTooLongError": (StorageError, "the name is too long for the server"),
    "EntityTooLarge": (StorageError, "it is larger than the server takes"),
    "EntityTooSmall": (StorageError, "a part is smaller than the server takes: set a larger part_size"),
    "QuotaExceeded": (NoSpace, "the quota is used up"),
    "XMinioStorageFull": (NoSpace, "the server has no space left"),
    "InsufficientStorage": (NoSpace, "the server has no space left"),
    "NotImplemented": (NotSupported, "the server has no such operation"),
    "BadDigest": (VerifyFailed, "the server received other bytes than were sent"),
    "InvalidDigest": (VerifyFailed, "the server received other bytes than were sent"),
    "XAmzContentSHA256Mismatch": (VerifyFailed, "the server received other bytes than were sent"),
    "PermanentRedirect": (StorageError, "the bucket is in another region: set region"),
    "IllegalLocationConstraintException": (StorageError, "the bucket is in another region: set region"),
}
_BUSY = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "IncompleteBody",
        "OperationAborted",
    }
)
_STATUS: dict[int, tuple[type[TuiSyncError], str]] = {
    403: _CODES["AccessDenied"],
    404: _CODES["NotFound"],
    405: _CODES["MethodNotAllowed"],
    501: _CODES["NotImplemented"],
    507: _CODES["InsufficientStorage"],
}
_LONGEST = 200


def code_of(error: BaseException) -> str:
    """The server's own word for what went wrong, ``""`` where it is no answer of a server."""
    if not isinstance(error, boto.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: BaseException) -> int:
    """The HTTP status of an error answer, 0 where there was no answer."""
    if not isinstance(error, boto.ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def attempts_of(error: BaseException) -> int:
    """How often the request was sent before this was the answer."""
    if not isinstance(error, boto.ClientError):
        return 1
    return 1 + int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))


def refused(error: BaseException) -> bool:
    """Whether a precondition did not hold: HTTP 412, or 409 where two requests met."""
    return status_of(error) == 412 or code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict")


def translated(error: Exception, verb: str, what: str, bucket: str) -> TuiSyncError:
    """The program's error for one of botocore's. ``what`` is a path, ``""`` the root."""
    if isinstance(error, TuiSyncError):
        return error
    doing = (
        f"cannot {verb} “{printable(what)}”" if what else f"cannot {verb} the bucket “{printable(bucket)}”"
    )
    if isinstance(error, boto.ClientError):
        return _answered(error, doing, bucket)
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ProxyConnectionError):
        return ConnectError(f"{doing}: no connection to the S3 server: check endpoint_url and the network")
    if isinstance(error, boto.SSLError):
        return ConnectError(
            f"{doing}: the server's certificate is not trusted: set ca_bundle to the file of its authority"
        )
    if isinstance(error, boto.ReadTimeoutError):
        return TimedOut(f"{doing}: the server did not answer in time")
    # A body that breaks off is not always wrapped by botocore.
    if isinstance(error, boto.HTTPClientError | boto.IncompleteReadError | BodyBroken):
        return ConnectionLost(f"{doing}: the connection to the server was lost")
    if isinstance(error, boto.FlexibleChecksumError):
        return VerifyFailed(f"{doing}: it did not arrive as the server's checksum says")
    login = _no_credentials(error)
    if login:
        return LoginRefused(f"{doing}: {login}")
    # What is left are botocore's own refusals; some quote parameters, so only their kind is shown.
    return StorageError(f"{doing}: {type(error).__name__}")


def _answered(error: Any, doing: str, bucket: str) -> TuiSyncError:
    code, status = code_of(error), status_of(error)
    if code == "NoSuchBucket":
        return NotFound(
            f"the bucket “{printable(bucket)}” does not exist: correct the url, or make the bucket first"
        )
    if code in _LOGIN:
        return LoginRefused(f"{doing}: {_LOGIN[code]}")
    if code in _BUSY or status in (429, 500, 502, 503, 504):
        return TimedOut(f"{doing}: the server is busy ({printable(code)}), also when asked again")
    kind, why = _CODES.get(code) or _STATUS.get(status) or (StorageError, "")
    if not why:
        message = str(error.response.get("Error", {}).get("Message", ""))[:_LONGEST]
        why = f"the server says {printable(code)}" + (f", {printable(message)}" if message else "")
    return kind(f"{doing}: {why}")


def _no_credentials(error: Exception) -> str:
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return (
            "no credentials were found: set access_key and secret_key, aws_profile, or anonymous = true, "
            "or log in with the AWS tools"
        )
    if isinstance(error, boto.ProfileNotFound):
        return "the AWS profile does not exist: check aws_profile"
    if isinstance(
        error,
        boto.CredentialRetrievalError
        | boto.TokenRetrievalError
        | boto.SSOError
        | boto.MetadataRetrievalError
        | boto.ConfigParseError
        | boto.InvalidConfigError,
    ):
        return "the AWS credentials could not be obtained: log in with the AWS tools and start again"
    return ""
