"""An SFTP server in this process that serves a folder, and lies when a test has it lie.

It speaks version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions over socket pairs: no SSH, no
ports, and every request in a list.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import stat
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.contract.support import BatchPrompts
from tests.support.sftp_script import Script, SocketChannel
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.connector import SftpConnector
from tui_sync.connectors.sftp.login import login_of
from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.transport import ByteChannel
from tui_sync.connectors.sftp.wire import OpenFlag, StatusCode
from tui_sync.errors import ConnectionLost, NotSupported

EXTENSIONS = (wire.POSIX_RENAME, wire.FSYNC, wire.STATVFS, wire.LSETSTAT)
LIMITS = wire.Limits(packet=256 << 10, read=64 << 10, write=64 << 10, handles=0)
OK = wire.Status(StatusCode.OK)
_AT_A_TIME = 100
# What a ledger drew by lot is no part of what was asked.
_TAG = re.compile(r"(?<=/\.tui-sync-)(trash/)?[0-9a-f]{8}(?=-)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, told by what it is, on which path, and for the which time (from 0)."""

    name: str
    path: str
    time: int

    def __str__(self) -> str:
        return f"{self.name} {self.path} #{self.time}"


Honest = Callable[[], wire.Response]
# What to answer in place of the truth; None cuts the line. Calling Honest carries the request out.
Lie = Callable[[Asked, wire.Request, Honest], wire.Response | None]


def _truth(_asked: Asked, _request: wire.Request, honest: Honest) -> wire.Response:
    return honest()


class LyingServer:
    """Serves ``folder`` as its root. ``asked`` lists all requests, ``connections`` counts logins.

    ``shuffle`` answers in any order what arrived together. ``free`` is what it says of its free space.
    ``shell``: its logins can run commands, which see ``folder`` as SFTP does, and count as ``commands``.
    ``limits`` None: it does not tell any, and those of the draft hold.
    ``path_first``: it takes the requests for symlinks as the draft has them, not as OpenSSH does.
    """

    def __init__(
        self,
        folder: Path,
        lie: Lie = _truth,
        *,
        extensions: tuple[str, ...] = EXTENSIONS,
        shuffle: random.Random | None = None,
        free: int = 1 << 40,
        path_first: bool = False,
        shell: bool = False,
        limits: wire.Limits | None = LIMITS,
    ) -> None:
        self.path_first = path_first
        self.folder = folder
        self.lie = lie
        self.extensions = extensions
        self.shuffle = shuffle
        self.free = free
        self.shell = shell
        self.limits = limits
        self.commands = 0
        self.asked: list[Asked] = []
        self.connections = 0
        self._times: Counter[tuple[str, str]] = Counter()
        self.lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def connector(self, endpoint: Endpoint) -> SftpConnector:
        pool = SessionPool(self._dial)
        try:
            return SftpConnector(endpoint, pool, login_of(endpoint, BatchPrompts()))
        except BaseException:
            pool.close()
            raise

    def _dial(self) -> _Login:
        with self.lock:
            self.connections += 1
        return _Login(self)

    def note(self, name: str, path: str) -> Asked:
        path = _TAG.sub(r"\1TAG", path)
        with self.lock:
            asked = Asked(name, path, self._times[name, path])
            self._times[name, path] += 1
            self.asked.append(asked)
        return asked


class _Login:
    """``transport.SshTransport`` without SSH."""

    def __init__(self, server: LyingServer) -> None:
        self._server = server
        self._over = threading.Event()
        self._ends: list[socket.socket] = []

    @property
    def server(self) -> str:
        return f"lying-{id(self._server)}:22"

    def open_sftp(self) -> ByteChannel:
        if self._over.is_set():
            raise ConnectionLost("the line was cut")
        ours, theirs = socket.socketpair()
        self._ends += [ours, theirs]
        threading.Thread(
            target=_Channel(self._server, theirs, self.close).serve, name="lying-server", daemon=True
        ).start()
        return SocketChannel(ours)

    def open_command(self, command: str) -> ByteChannel:
        if not self._server.shell:
            raise NotSupported("no command is run here")
        self._server.commands += 1
        ours, theirs = socket.socketpair()
        self._ends.append(ours)
        # As if the shell had the folder for its root.
        command = command.replace('printf "$p', f'printf "{self._server.folder}$p')
        with theirs:
            subprocess.Popen(["sh", "-c", command], stdin=theirs, stdout=theirs)
        return SocketChannel(ours)

    @property
    def alive(self) -> bool:
        return not self._over.is_set()

    def close(self) -> None:
        self._over.set()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class _Channel:
    """One SFTP session: an open handle is a descriptor, or what is left of a directory's entries."""

    def __init__(self, server: LyingServer, end: socket.socket, cut: Callable[[], None]) -> None:
        self._server = server
        self._script = Script(end)
        self._end = end
        self._cut = cut
        self._handles: dict[bytes, tuple[str, int | list[wire.NameEntry]]] = {}
        self._next = 0

    def serve(self) -> None:
        try:
            self._script.packet()
            offered = dict.fromkeys(self._server.extensions, b"1")
            if self._server.limits is not None:
                offered[wire.LIMITS] = b"1"
            self._script.raw(wire.Version(3, offered).encode())
            while (request := self._script.request()) is not None:
                waiting = [request]
                while self._server.shuffle is not None and len(waiting) < 16 and self._script.readable():
                    more = self._script.request()
                    if more is None:
                        break
                    waiting.append(more)
                answers = [(number, self._answer(asked)) for number, asked in waiting]
                if self._server.shuffle is not None:
                    self._server.shuffle.shuffle(answers)
                for number, answer in answers:
                    if answer is None:
                        self._cut()
                        return
                    self._script.answer(number, answer)
        except OSError:
            return
        finally:
            for _, what in self._handles.values():
                if isinstance(what, int):
                    os.close(what)
            self._end.close()

    def _answer(self, request: wire.Request) -> wire.Response | None:
        name, path = self._told(request)
        return self._server.lie(self._server.note(name, path), request, lambda: self._honest(request))

    def _told(self, request: wire.Request) -> tuple[str, str]:
        handle = getattr(request, "handle", None)
        if handle is not None:
            return type(request).__name__, self._handles.get(handle, ("?", 0))[0]
        if isinstance(request, wire.Rename):
            return "Rename", request.new
        if isinstance(request, wire.SymLink):
            return "SymLink", request.first if self._server.path_first else request.second
        if not isinstance(request, wire.Extended):
            return type(request).__name__, request.path
        fields = wire.Fields(request.payload)
        if request.name in (wire.FSYNC, wire.COPY_DATA):
            return request.name, self._handles.get(fields.string(), ("?", 0))[0]
        if request.name in (wire.POSIX_RENAME, wire.HARDLINK):
            fields.text()
        return request.name, fields.text() if fields.left else ""

    def _honest(self, request: wire.Request) -> wire.Response:
        try:
            return self._carry_out(request)
        except FileNotFoundError:
            return wire.Status(StatusCode.NO_SUCH_FILE, "No such file")
        except PermissionError:
            return wire.Status(StatusCode.PERMISSION_DENIED, "Permission denied")
        except OSError as error:
            return wire.Status(StatusCode.FAILURE, error.strerror or "Failure")
        except (KeyError, ValueError):
            return wire.Status(StatusCode.FAILURE, "Failure")

    def _local(self, path: str) -> str:
        """As under chroot: ``..`` at the root stays there."""
        if "\0" in path:
            raise ValueError("NUL in a path")
        return f"{self._server.folder}{os.path.normpath('/' + path.lstrip('/'))}"

    def _carry_out(self, request: wire.Request) -> wire.Response:
        match request:
            case wire.Lstat() | wire.Stat():
                look = os.lstat if isinstance(request, wire.Lstat) else os.stat
                return wire.Attrs(_attributes(look(self._local(request.path))))
            case wire.Open():
                return self._open(request)
            case wire.OpenDir():
                return self._open_dir(request.path)
            case wire.RealPath():
                return wire.Name((wire.NameEntry("/", "", wire.NO_ATTRIBUTES),))
            case wire.ReadLink():
                text = os.readlink(self._local(request.path))
                return wire.Name((wire.NameEntry(text, text, wire.NO_ATTRIBUTES),))
            case wire.Remove():
                os.unlink(self._local(request.path))
            case wire.RmDir():
                os.rmdir(self._local(request.path))
            case wire.MkDir():
                os.mkdir(self._local(request.path), (request.attributes.permissions or 0o777) & 0o777)
            case wire.SetStat():
                _set(self._local(request.path), request.attributes)
            case wire.Rename():
                if os.path.lexists(self._local(request.new)):
                    return wire.Status(StatusCode.FAILURE, "Failure")
                os.rename(self._local(request.old), self._local(request.new))
            case wire.SymLink():
                text, path = request.first, request.second
                if self._server.path_first:
                    text, path = path, text
                os.symlink(text, self._local(path))
            case wire.Extended():
                return self._extended(request)
            case _:
                return self._by_handle(request)
        return OK

    def _by_handle(self, request: wire.Request) -> wire.Response:
        assert isinstance(
            request, wire.Close | wire.Read | wire.Write | wire.Fstat | wire.FsetStat | wire.ReadDir
        )
        _, what = self._handles[request.handle]
        if isinstance(request, wire.Close):
            del self._handles[request.handle]
            if isinstance(what, int):
                os.close(what)
            return OK
        if isinstance(what, list):
            if not isinstance(request, wire.ReadDir):
                return wire.Status(StatusCode.FAILURE, "Failure")
            some, what[:] = tuple(what[:_AT_A_TIME]), what[_AT_A_TIME:]
            return wire.Name(some) if some else wire.Status(StatusCode.EOF, "End of file")
        match request:
            case wire.Read():
                most = (self._server.limits or wire.Limits()).read
                data = os.pread(what, min(request.length, most), request.offset)
                return wire.Data(data) if data else wire.Status(StatusCode.EOF, "End of file")
            case wire.Write():
                os.pwrite(what, request.data, request.offset)
            case wire.Fstat():
                return wire.Attrs(_attributes(os.fstat(what)))
            case wire.FsetStat():
                _set(what, request.attributes)
            case _:
                return wire.Status(StatusCode.FAILURE, "Failure")
        return OK

    def _open(self, request: wire.Open) -> wire.Response:
        flags = os.O_CLOEXEC
        both = request.flags & OpenFlag.READ and request.flags & OpenFlag.WRITE
        flags |= os.O_RDWR if both else os.O_WRONLY if request.flags & OpenFlag.WRITE else os.O_RDONLY
        for told, meant in (
            (OpenFlag.CREATE, os.O_CREAT),
            (OpenFlag.TRUNCATE, os.O_TRUNC),
            (OpenFlag.EXCLUSIVE, os.O_EXCL),
        ):
            flags |= meant if request.flags & told else 0
        mode = request.attributes.permissions
        opened = os.open(self._local(request.path), flags, 0o666 if mode is None else mode & 0o777)
        return self._handle(request.path, opened)

    def _open_dir(self, path: str) -> wire.Response:
        folder = self._local(path)
        entries = []
        for name in sorted((".", "..", *os.listdir(folder))):
            with contextlib.suppress(FileNotFoundError):
                attributes = _attributes(os.lstat(os.path.join(folder, name)))
                entries.append(wire.NameEntry(name, name, attributes))
        return self._handle(path, entries)

    def _handle(self, path: str, what: int | list[wire.NameEntry]) -> wire.Handle:
        self._next += 1
        handle = f"handle {self._next}".encode()
        self._handles[handle] = (path, what)
        return wire.Handle(handle)

    def _descriptor(self, handle: bytes) -> int:
        _, what = self._handles[handle]
        if not isinstance(what, int):
            raise ValueError("no file")
        return what

    def _extended(self, request: wire.Extended) -> wire.Response:
        if request.name == wire.LIMITS and self._server.limits is not None:
            return wire.ExtendedReply(self._server.limits.encode())
        if request.name not in self._server.extensions:
            return wire.Status(StatusCode.OP_UNSUPPORTED, "Unsupported")
        fields = wire.Fields(request.payload)
        match request.name:
            case wire.POSIX_RENAME:
                os.replace(self._local(fields.text()), self._local(fields.text()))
            case wire.HARDLINK:
                old, new = self._local(fields.text()), self._local(fields.text())
                os.link(old, new, follow_symlinks=False)
            case wire.COPY_DATA:
                source, offset, length = fields.string(), fields.u64(), fields.u64()
                data = os.pread(self._descriptor(source), length, offset)
                os.pwrite(self._descriptor(fields.string()), data, fields.u64())
            case wire.FSYNC:
                self._handles[fields.string()]
            case wire.STATVFS:
                os.stat(self._local(fields.text()))
                return wire.ExtendedReply(wire.FileSystem(1, self._server.free).encode())
            case wire.LSETSTAT:
                _set(self._local(fields.text()), wire.Attributes.decode(fields), follow=False)
        return OK


def _attributes(found: os.stat_result) -> wire.Attributes:
    return wire.Attributes(
        size=found.st_size,
        permissions=found.st_mode,
        times=(int(found.st_atime), int(found.st_mtime)),
    )


def _set(where: str | int, wanted: wire.Attributes, *, follow: bool = True) -> None:
    if wanted.times is not None:
        if follow:
            os.utime(where, wanted.times)
        else:
            os.utime(where, wanted.times, follow_symlinks=False)
    if wanted.permissions is not None:
        os.chmod(where, stat.S_IMODE(wanted.permissions))
