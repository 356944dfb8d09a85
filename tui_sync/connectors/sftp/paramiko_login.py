"""The order in which a login is tried: named key file, agent, key files of the ssh configuration or else the
default ones, password.

A password in the profile means that this is the way in: then agent and default key files, each try of which
counts against the server's limit, are left alone.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import paramiko
from paramiko.pkey import PublicBlob, UnknownKeyType

from tui_sync.connectors.sftp.login import Login
from tui_sync.errors import LoginRefused
from tui_sync.names import printable

_DEFAULT_KEYS = tuple(Path(f"~/.ssh/id_{kind}") for kind in ("ed25519", "ecdsa", "rsa"))
_CERTIFICATE = "-cert-v01@openssh.com"
_ASK_TIMES = 3
_ANSWER_S = 120.0


def authenticate(transport: paramiko.Transport, login: Login) -> None:
    """Log in. Raises LoginRefused, naming what was tried and what the server offers."""
    _Attempt(transport, login).run()


class _Attempt:
    def __init__(self, transport: paramiko.Transport, login: Login) -> None:
        self._transport = transport
        self._login = login
        self._tried: list[str] = []
        self._offered: list[str] = []
        self._declined = False

    def run(self) -> None:
        if self._try(lambda: self._transport.auth_none(self._login.user)):
            return
        if "publickey" in self._offered and self._with_keys():
            return
        if self._with_password():
            return
        raise self._refused()

    def _try(self, step: Callable[[], list[str] | None]) -> bool:
        """One request. True where the login is complete now."""
        try:
            further = step()
        except paramiko.BadAuthenticationType as error:
            self._offered = list(error.allowed_types)
        except paramiko.AuthenticationException:
            # Not chained, and its text not quoted: it may hold what was sent.
            if not self._transport.is_active():
                raise self._refused("ended the connection") from None
        else:
            # A login of several steps goes on with what is left.
            self._offered = list(further or self._offered)
        return self._transport.is_authenticated()

    def _with_keys(self) -> bool:
        with contextlib.closing(_Agent(self._login.use_agent)) as agent:
            for name, key in self._keys(agent):
                self._tried.append(name)
                if self._try(partial(self._transport.auth_publickey, self._login.user, key)):
                    return True
                if "publickey" not in self._offered:
                    break
        return False

    def _keys(self, agent: _Agent) -> Iterator[tuple[str, paramiko.PKey]]:
        """Each key once, with its certificate in front of it where there is one."""
        named = self._login.identity_file
        offered: set[bytes] = set()
        if named is not None:
            key = agent.key_of(named) or self._load(named, must=True)
            assert key is not None
            offered.add(key.asbytes())
            yield from self._with_certificates(f"key {named}", key, named)
        if self._login.configured("password"):
            return
        files = list(self._login.identities) or [path.expanduser() for path in _DEFAULT_KEYS]
        wanted = {public_blob(path) for path in files} if self._login.identities_only else None
        for name, key in agent.certified():
            if wanted is None or key.asbytes() in wanted:
                yield name, key
        for key in agent.identities():
            if key.asbytes() not in offered and (wanted is None or key.asbytes() in wanted):
                offered.add(key.asbytes())
                yield from self._with_certificates("key of the ssh agent", key, None)
        if named is not None:
            return
        for path in files:
            if path.exists() and public_blob(path) not in offered:
                loaded = self._load(path, must=False)
                if loaded is not None and loaded.asbytes() not in offered:
                    offered.add(loaded.asbytes())
                    yield from self._with_certificates(f"key {path}", loaded, path)

    def _with_certificates(
        self, name: str, key: paramiko.PKey, path: Path | None
    ) -> Iterator[tuple[str, paramiko.PKey]]:
        """A server that does not know the authority may know the key itself."""
        beside = [path.with_name(f"{path.name}-cert.pub")] if path is not None else []
        for file in (*self._login.certificates, *beside):
            certificate = certificate_for(key, file)
            if certificate is not None:
                key.load_certificate(certificate)
                yield f"certificate {file}", key
        key.public_blob = None
        yield name, key

    def _load(self, path: Path, *, must: bool) -> paramiko.PKey | None:
        """The private key in a file; None where one that was not named by the profile cannot be used."""
        for _ in range(_ASK_TIMES):
            try:
                return read_key(path, None)
            except PassphraseNeeded:
                passphrase = self._login.passphrase(path)
            except OSError as error:
                if not must:
                    return None
                raise LoginRefused(
                    f"cannot log in to {self._login.server}: cannot read the key {path}: {error.strerror}"
                ) from None
            except ValueError:
                if not must:
                    return None
                raise LoginRefused(
                    f"cannot log in to {self._login.server}: {path} holds no private key of a known kind"
                ) from None
            if passphrase is None:
                break
            with contextlib.suppress(ValueError):
                return read_key(path, passphrase)
            self._login.forget_passphrase(path)
            if self._login.passphrase_configured(path):
                break
        if not must:
            return None
        raise LoginRefused(
            f"cannot log in to {self._login.server}: the passphrase of the key {path} is missing or wrong"
        )

    def _with_password(self) -> bool:
        methods = [name for name in ("password", "keyboard-interactive") if name in self._offered]
        if not methods:
            return False
        for _ in range(_ASK_TIMES):
            remembered = self._login.password_remembered()
            for method in methods:
                if method not in self._offered:
                    continue
                if method == "password":
                    password = self._password()
                    if password is None:
                        return False
                    self._tried.append("password")
                    step = partial(self._transport.auth_password, self._login.user, password, fallback=False)
                    if self._try(step):
                        return True
                elif self._interactive():
                    return True
                if self._declined:
                    return False
            self._login.forget_password()
            if self._login.configured("password") and not remembered:
                return False
        return False

    def _password(self, prompt: str = "Password") -> str | None:
        return self._login.password(prompt)

    def _interactive(self) -> bool:
        """RFC 4256: a hidden question alone is the password, all others go to the person."""
        self._tried.append("keyboard-interactive")
        failure: list[BaseException] = []

        def answer(title: str, instructions: str, questions: list[tuple[str, bool]]) -> list[str]:
            # Runs in paramiko's thread, which must not be ended by what a prompt raises.
            try:
                return [self._answer(text, echo, alone=len(questions) == 1) for text, echo in questions]
            except BaseException as error:  # noqa: BLE001
                failure.append(error)
                return [""] * len(questions)

        before = self._transport.auth_timeout
        self._transport.auth_timeout = _ANSWER_S
        try:
            done = self._try(lambda: self._transport.auth_interactive(self._login.user, answer))
        finally:
            self._transport.auth_timeout = before
        if failure:
            raise failure[0]
        return done

    def _answer(self, question: str, echo: bool, *, alone: bool) -> str:
        prompt = printable(question.strip().rstrip(":")) or "Password"
        if alone and not echo:
            reply = self._password(prompt)
        else:
            reply = self._login.prompts.secret(self._login.server, prompt)
        self._declined = self._declined or reply is None
        return reply or ""

    def _refused(self, did: str = "refuses the login") -> LoginRefused:
        tried = ", ".join(dict.fromkeys(self._tried)) or "nothing, for want of a key or password"
        offers = printable(", ".join(self._offered)) or "nothing"
        return LoginRefused(f"{self._login.server} {did}: tried {tried}; the server offers {offers}")


class _Agent:
    """The keys of the ssh agent; none where there is no agent or it makes trouble."""

    def __init__(self, wanted: bool) -> None:
        self._agent: paramiko.Agent | None = None
        if wanted:
            with contextlib.suppress(paramiko.SSHException, OSError):
                self._agent = paramiko.Agent()

    def identities(self) -> list[paramiko.PKey]:
        """The plain keys."""
        return [key for key in self._all() if not key.get_name().endswith(_CERTIFICATE)]

    def certified(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """The keys with a certificate."""
        for key in self._all():
            if key.get_name().endswith(_CERTIFICATE):
                key.public_blob = PublicBlob(key.get_name(), key.blob)  # type: ignore[assignment]
                yield "certificate of the ssh agent", key

    def _all(self) -> list[paramiko.AgentKey]:
        return list(self._agent.get_keys()) if self._agent else []

    def key_of(self, path: Path) -> paramiko.PKey | None:
        """The agent's copy of the key in a file: it needs no passphrase."""
        blob = public_blob(path)
        return next((key for key in self.identities() if blob and key.asbytes() == blob), None)

    def close(self) -> None:
        if self._agent:
            self._agent.close()


class PassphraseNeeded(Exception):
    """The key file is encrypted."""


def public_blob(path: Path) -> bytes | None:
    """The public key beside a private one, None where it is not there."""
    try:
        fields = path.with_name(f"{path.name}.pub").read_text("utf-8", "replace").split()
        return base64.b64decode(fields[1], validate=True)
    except (OSError, IndexError, ValueError):
        return None


def certificate_for(key: paramiko.PKey, file: Path) -> str | None:
    """The certificate that a file holds, None where it holds none for this key.

    PROTOCOL.certkeys of OpenSSH: a certificate is a nonce, and then the fields of the key it is for.
    """
    try:
        kind, encoded = file.read_text("utf-8", "replace").split()[:2]
        blob = base64.b64decode(encoded, validate=True)
    except (OSError, ValueError):
        return None
    if kind.removesuffix(_CERTIFICATE) != key.get_name():
        return None
    certificate, plain = paramiko.Message(blob), paramiko.Message(key.asbytes())
    plain.get_string()
    certificate.get_string()
    certificate.get_string()
    return f"{kind} {encoded}" if certificate.get_remainder().startswith(plain.get_remainder()) else None


def read_key(path: Path, passphrase: str | None) -> paramiko.PKey:
    """A private key file, without a certificate.

    Raises PassphraseNeeded, OSError, or ValueError for a wrong passphrase or a kind that is not known.
    """
    try:
        key = paramiko.PKey.from_path(path, passphrase.encode() if passphrase is not None else None)  # type: ignore[arg-type]
    except (TypeError, paramiko.PasswordRequiredException):
        # How cryptography and paramiko say that a passphrase is missing, or there for nothing.
        raise PassphraseNeeded from None
    except (paramiko.SSHException, UnknownKeyType) as error:
        raise ValueError(type(error).__name__) from None
    key.public_blob = None
    return key
