"""What a shell on the server does for many files at once, where a login has one: hashing, flushing. A bonus,
silently done without.

One channel runs one small POSIX sh script that takes many files per request: ten thousand files do not start
ten thousand sessions. A request is a line of words: ``s`` or ``l`` to hash small files or large ones, ``f``
to flush the file systems they are on; then what their paths begin with, and the rest of each path. Every byte
but the plainest is written in octal digits, the first path as a format of printf(1), the others as arguments
for its ``%b``: no shell ever parses a name. The answer is size, time and mode of each file, a line with the
channel's nonce and an exit status, what the program prints, such as digests, and such a line again.

A shell's paths need not be those of SFTP, which may live in a root of its own. An answer counts only where
the shell sees a regular file of the same size and time under that path.

Only a ``sync`` that has the option for it flushes. What comes of it is not relied on: syncfs(2) tells of a
disk's error once, to whoever asks first, and on overlayfs not at all.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tui_sync.connectors.sftp.transport import ByteChannel
from tui_sync.errors import ConnectionLost, StorageError, TimedOut

# Beside those of SFTP: OpenSSH grants ten in all.
_CHANNELS = 2
_FILES = 512
# What a shell hands to a program has limits.
_LINE = 64 << 10
_LARGE = 1 << 20
# What hashes quickest is what takes longest to start.
_WORTH_STARTING = 2 << 20
_START_S = 15.0
_ANSWER_S = 60.0
# As long as a slow disk takes for a pack of files one by one.
_QUICK_FLUSH_S = 3.0
# Files of many GiB are hashed for minutes; a flush that waits for them saves nothing.
_PATIENCE_S = 0.5
# The slowest disk and processor worth waiting for, in bytes a second.
_SLOWEST = 4 << 20
_MOST_SAID = 8 << 20
_RECEIVE = 64 << 10
# Of a line with the nonce, and the line break before it.
_LONGEST_MARK = 64
# So many channels that came to grief one after the other, and no further one is asked for.
_FAILURES = 2

_NOT_PLAIN = re.compile(rb"[^A-Za-z0-9/._-]")
_SEEN = re.compile(rb"(\d{1,20}) (-?\d{1,20}) ([0-9a-fA-F]{1,8})")
_DIGEST = re.compile(rb"\\?([0-9a-f]{64})(?: .*)?", re.DOTALL)

# Stands between single quotes for a login shell that may be any, so it has no such quote, no exclamation mark
# and no two backslashes. What starts quickly comes first; large files are for what hashes quickest. A shell
# reads a line byte by byte, head does not; it may read on, as nothing follows a request before its answer.
_SCRIPT = r"""exec 2>/dev/null; set -f; LC_ALL=C; export LC_ALL;
h() { case $(printf abc | $1) in ba7816bf8f01cfea*) ;; *) return 1;; esac; };
s=; o="openssl dgst -sha256 -r"; for t in sha256sum "shasum -a 256" "sha256 -r" "$o"; do
if h "$t"; then s=$t; break; fi; done; test -n "$s" || exit;
if h "$o"; then l=$o; else l=$s; fi;
if stat -c %s /; then a=-c; f="%s %Y %f"; else a=-f; f="%z %m %Xp"; fi >/dev/null;
printf / | xargs -0 stat $a "$f" >/dev/null && printf / | head -n 1 >/dev/null || exit;
e=ready; if test $(uname) = Linux; then case $(sync --help) in *--file-system*) e=flushes;; esac; fi;
echo; echo NONCE $e; n() { printf "$p%b\000" "$@"; };
while q=$(head -n 1) && test -n "$q"; do set -- $q; w=$1; p=$2; shift 2;
case $w in s) t=$s;; l) t=$l;; *) t="sync -f";; esac;
n "$@" | xargs -0 stat $a "$f"; echo NONCE $?; n "$@" | xargs -0 $t; echo NONCE $?; done""".replace("\n", " ")


class Hashed(NamedTuple):
    """A file to be hashed: the server's absolute path, and what SFTP says of it, its size and the whole
    seconds of its time as they go over the wire."""

    full: str
    size: int
    seconds: int


class Shell:
    """Hashes files on the server, for any threads. ``open_command`` gives a channel to a command there."""

    def __init__(self, open_command: Callable[[str], ByteChannel]) -> None:
        self._open_command = open_command
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_CHANNELS)
        self._idle: list[_Script] = []
        self._asking = threading.Lock()
        self._worked = False
        self._asked = False
        self._flushes = False
        self._failures = 0
        self._closed = False
        self._waiting = threading.Condition()
        self._wishes: list[_Wish] = []
        self._flushing = False

    def works(self) -> bool:
        """Whether there is one; asks the server the first time."""
        self._asked = True
        with self._asking:
            if not self._worked:
                with contextlib.suppress(StorageError), self._script() as script:
                    self._worked = True
                    self._flushes = script.flushes
        return self._worked and self._failures < _FAILURES

    def digests(self, files: Sequence[Hashed]) -> list[str | None]:
        """The SHA-256 of each file in hexadecimal; None where the shell does not see that very file, cannot
        read it, or where there is no shell. Raises nothing."""
        found: list[str | None] = []
        for several in _together(files):
            try:
                with self._script() as script:
                    found += script.digests(several)
            except StorageError:
                found += [None] * len(several)
        return found

    def can_flush(self) -> bool:
        """Whether ``flush`` is worth a try, as far as is known without waiting; has the server asked."""
        with self._lock:
            ask, self._asked = not self._asked, True
        if ask:
            threading.Thread(target=self.works, name="tui-sync-shell", daemon=True).start()
        return self._flushes and self._failures < _FAILURES

    def flush(self, files: Sequence[Hashed]) -> None:
        """Have the file systems of these files write down what they hold. Whether it came about is not told:
        what makes a file durable for sure is its own fsync, which is quick afterwards. Raises nothing.

        Those who come while one is under way share the next (group commit): each on its own would have the
        server write what the others are still at.
        """
        mine = _Wish(files)
        with self._waiting:
            self._wishes.append(mine)
            self._waiting.wait_for(lambda: mine.granted or not self._flushing)
            if mine.granted:
                return
            wishes, self._wishes = self._wishes, []
            self._flushing = True
        try:
            if self._flushes:
                self._flush([file for wish in wishes for file in wish.files], _QUICK_FLUSH_S * len(wishes))
        finally:
            with self._waiting:
                for wish in wishes:
                    wish.granted = True
                self._flushing = False
                self._waiting.notify_all()

    def _flush(self, files: Sequence[Hashed], quick: float) -> None:
        done, took = False, 0.0
        try:
            with self._script(flushing=True) as script:
                began = time.monotonic()
                done = all(script.flush(several) for several in _together(files))
                took = time.monotonic() - began
        except _Busy:
            return
        except StorageError:
            done = False
        # A server that writes a lot for others takes its time with all of it: better file by file then.
        if not done or took > quick:
            self._flushes = False

    def close(self) -> None:
        """End what is idle; what is under way ends with its login. Never raises."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for script in idle:
            script.close()

    @contextlib.contextmanager
    def _script(self, *, flushing: bool = False) -> Iterator[_Script]:
        """``flushing``: what goes wrong says nothing of hashing, which is not waited for: raises _Busy."""
        if not self._places.acquire(timeout=_PATIENCE_S if flushing else None):
            raise _Busy
        try:
            script = self._take()
            try:
                yield script
            except BaseException:
                script.close()
                if not flushing:
                    with self._lock:
                        self._failures += 1
                raise
            with self._lock:
                self._failures = 0
                if not self._closed:
                    self._idle.append(script)
                    return
            script.close()
        finally:
            self._places.release()

    def _take(self) -> _Script:
        with self._lock:
            while self._idle:
                script = self._idle.pop()
                if script.alive:
                    return script
            if self._closed or self._failures >= _FAILURES:
                raise StorageError("the server offers no shell that hashes files")
        try:
            return _Script(self._open_command)
        except StorageError:
            with self._lock:
                self._failures += 1
            raise


class _Busy(StorageError):
    """All channels are taken."""


@dataclass(slots=True)
class _Wish:
    """What one caller wants flushed; ``granted`` once it has been tried."""

    files: Sequence[Hashed]
    granted: bool = False


class _Script:
    """One channel with the script on it. After an error it is of no use any more."""

    def __init__(self, open_command: Callable[[str], ByteChannel]) -> None:
        nonce = secrets.token_hex(16)
        self._mark = re.compile(rb"(?:\A|\n)(?P<line>%b (?P<word>[a-z0-9]+)\n)" % nonce.encode("ascii"))
        self._said = bytearray()
        script = _SCRIPT.replace("NONCE", nonce)
        self._channel = open_command(f"exec sh -c '{script}'")
        try:
            # A login shell may greet first. Nothing is sent before this: it may not be a shell at all.
            _, word = self._until(time.monotonic() + _START_S)
            self.flushes = word == b"flushes"
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the channel has not ended, as far as can be told without waiting."""
        try:
            self._said += self._channel.receive(_RECEIVE, 0.0)
        except TimedOut:
            return True
        except StorageError:
            pass
        self.close()
        return False

    def close(self) -> None:
        self._channel.close()

    def digests(self, files: Sequence[Hashed]) -> list[str | None]:
        """Raises StorageError where the channel is lost, or silent for too long."""
        total = sum(file.size for file in files)
        which = b"s" if total < _WORTH_STARTING else b"l"
        deadline = time.monotonic() + _ANSWER_S + total / _SLOWEST
        line = b" ".join((which, *_words([file.full for file in files]))) + b"\n"
        self._channel.send([line], _ANSWER_S)
        seen, all_seen = self._answer(deadline)
        lines, all_read = self._answer(deadline)
        if all_seen and all_read and len(seen) == len(lines) == len(files):
            return [
                _digest(line) if _same(file, sight) else None
                for file, sight, line in zip(files, seen, lines, strict=True)
            ]
        if len(files) == 1:
            # A name with a line break in it makes two lines, of which the first begins with the digest.
            right = all_seen and all_read and len(seen) == 1 and lines and _same(files[0], seen[0])
            return [_digest(lines[0]) if right else None]
        # One of them is missing, or one of their names mixes up the lines: which, the halves will tell.
        middle = len(files) // 2
        return self.digests(files[:middle]) + self.digests(files[middle:])

    def flush(self, files: Sequence[Hashed]) -> bool:
        """Raises StorageError as ``digests`` does."""
        self._channel.send([b" ".join((b"f", *_words([file.full for file in files]))) + b"\n"], _ANSWER_S)
        deadline = time.monotonic() + _ANSWER_S
        seen, all_seen = self._answer(deadline)
        _, done = self._answer(deadline)
        return done and all_seen and len(seen) == len(files) and all(map(_same, files, seen))

    def _answer(self, deadline: float) -> tuple[list[bytes], bool]:
        """The lines up to the next nonce, and whether the program there succeeded."""
        said, status = self._until(deadline)
        return said.split(b"\n")[:-1], status == b"0"

    def _until(self, deadline: float) -> tuple[bytes, bytes]:
        """What is said before the next line with the nonce, and the word after it."""
        searched = 0
        while True:
            match = self._mark.search(self._said, searched)
            if match is not None:
                said, word = bytes(self._said[: match.start("line")]), match["word"]
                del self._said[: match.end()]
                return said, bytes(word)
            if len(self._said) > _MOST_SAID:
                raise ConnectionLost("the server's shell says more than it was asked")
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut("the server's shell gave no answer")
            searched = max(0, len(self._said) - _LONGEST_MARK)
            self._said += self._channel.receive(_RECEIVE, left)


def _together(files: Sequence[Hashed]) -> Iterator[Sequence[Hashed]]:
    """As many as go into one request; a large one goes alone, so that others need not wait for it."""
    start = len(_start([file.full for file in files]))
    first = length = 0
    for index, file in enumerate(files):
        name = file.full.encode("utf-8", "surrogateescape")[start:]
        more = len(name) + 4 * len(_NOT_PLAIN.findall(name)) + 1
        full = length + more > _LINE or index - first >= _FILES
        if index > first and (full or max(file.size, files[first].size) >= _LARGE):
            yield files[first:index]
            first, length = index, 0
        length += more
    if len(files) > first:
        yield files[first:]


def _words(paths: Sequence[str]) -> Iterator[bytes]:
    """What all the absolute paths begin with, and the rest of each."""
    start = _start(paths)
    yield _encoded(start, b"\\%03o").replace(b"\\045", b"%%")
    for path in paths:
        yield _encoded(path.encode("utf-8", "surrogateescape")[len(start) :], b"\\0%03o")


def _start(paths: Sequence[str]) -> bytes:
    """The folder that all of them are in; empty for no paths."""
    if not paths:
        return b""
    first, last = (path.encode("utf-8", "surrogateescape") for path in (min(paths), max(paths)))
    alike = next(
        (at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first)
    )
    return first[:alike].rpartition(b"/")[0] + b"/"


def _encoded(name: bytes, octal: bytes) -> bytes:
    return _NOT_PLAIN.sub(lambda found: octal % found[0][0], name)


def _same(file: Hashed, sight: bytes) -> bool:
    match = _SEEN.fullmatch(sight)
    return (
        match is not None
        and int(match[1]) == file.size
        and int(match[2]) & 0xFFFFFFFF == file.seconds & 0xFFFFFFFF
        and stat.S_ISREG(int(match[3], 16))
    )


def _digest(line: bytes) -> str | None:
    match = _DIGEST.fullmatch(line)
    return match[1].decode("ascii") if match is not None else None
