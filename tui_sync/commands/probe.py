"""``profiles test``: connect to both sides, look, measure, and say what will be slow. Writes nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tui_sync import profiles
from tui_sync.batch.output import size_text
from tui_sync.commands.terminal import note, prompts, say
from tui_sync.connectors import registry
from tui_sync.connectors.base import Connector, Endpoint, Features, Prompts
from tui_sync.errors import NotFound, TuiSyncError
from tui_sync.model import CompareBy, Kind, SyncOptions, Verify, WriteMode
from tui_sync.names import printable

_ROUND_TRIPS = 5
_FAR_S = 0.03
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Probe:
    """What one side showed. ``entries`` None: its folder does not exist. Times in seconds."""

    endpoint: Endpoint
    features: Features
    connect_s: float
    round_trip_s: float
    entries: int | None
    list_s: float
    free: int | None


def test_profile(name: str) -> int:
    """Probe both sides, also the second where the first fails. Raises the first side's error."""
    profile = profiles.find(name)
    ask = prompts()
    failed: TuiSyncError | None = None
    for side, endpoint in (("source", profile.source), ("target", profile.target)):
        say(f"{side}: {printable(endpoint.url)}")
        try:
            probe = _probe(endpoint, ask)
            if probe.entries is None and side == "source":
                raise NotFound(f"the source folder {printable(endpoint.url)} does not exist: check its path")
        except TuiSyncError as error:
            say("  failed")
            if failed is None:
                failed = error
            else:
                note(f"error: {error}")
            continue
        for line in [*_facts(probe), *_slow(probe, profile.options, side)]:
            say(f"  {line}")
    if failed is not None:
        raise failed
    return 0


def _probe(endpoint: Endpoint, ask: Prompts) -> Probe:
    started = time.monotonic()
    connector = registry.connect(endpoint, ask)
    try:
        return _look(endpoint, connector, time.monotonic() - started)
    finally:
        connector.close()


def _look(endpoint: Endpoint, connector: Connector, connect_s: float) -> Probe:
    reader = connector.reader()
    exists = True
    trips = []
    for _ in range(_ROUND_TRIPS):
        started = time.monotonic()
        try:
            root = reader.stat("")
        except NotFound:
            exists = False
        else:
            if root.kind is not Kind.DIRECTORY:
                raise NotFound(f"{printable(endpoint.url)} is no folder: name the folder that holds it")
        trips.append(time.monotonic() - started)
    started = time.monotonic()
    entries = len(reader.list_dir("")) if exists else None
    list_s = time.monotonic() - started
    round_trip_s = statistics.median(trips)
    return Probe(endpoint, reader.features, connect_s, round_trip_s, entries, list_s, reader.free_space())


def _facts(probe: Probe) -> Iterator[str]:
    trip = f"{probe.round_trip_s * 1000:.1f} ms"
    yield f"connected in {probe.connect_s:.2f} s, {trip} for a round trip"
    if probe.entries is None:
        yield "its folder does not exist yet: the first run makes it"
    else:
        yield f"{probe.entries:,} entries in its folder, listed in {probe.list_s:.2f} s"
    if probe.free is not None:
        yield f"{size_text(probe.free)} free"
    features = probe.features
    if not features.sets_mtime:
        times = "times cannot be set"
    elif features.mtime_precision_ns >= _SECOND_NS:
        times = "times to the second"
    else:
        times = "times to less than a second"
    can = [
        times,
        "modes kept" if features.sets_mode else "no modes",
        "replaces in one step" if features.atomic_replace else "cannot replace in one step",
        f"checksums by {', '.join(features.checksums)}" if features.checksums else "no checksums of its own",
        "" if features.directories else "no empty folders",
        "" if features.symlinks else "no links",
    ]
    yield "; ".join(part for part in can if part)


def _slow(probe: Probe, options: SyncOptions, side: str) -> Iterator[str]:
    """What to expect, with what can be done about it."""
    if probe.round_trip_s > _FAR_S:
        yield (
            f"slow: at {probe.round_trip_s * 1000:.0f} ms for a round trip, many folders take long to "
            "list and many small files to copy; more workers help"
        )
    if options.compare is CompareBy.CHECKSUM and not probe.features.checksums:
        yield (
            'slow: compare = "checksum" reads every file of this side in full, unless a shell there hashes '
            'it; "auto" reads none'
        )
    if side == "target" and options.verify is Verify.READBACK:
        yield 'slow: verify = "readback" moves every file twice'
    if side == "target" and not probe.features.sets_mtime:
        yield "times cannot be kept: what is unchanged is told by what earlier runs have recorded"
    if side == "target" and not probe.features.rename and options.write is WriteMode.ATOMIC:
        yield 'this target cannot rename: write = "direct" may be needed'
    if options.workers == 1:
        yield "slow: workers = 1 copies one file at a time"
    if options.bandwidth_limit is not None:
        yield f"slow: never more than {size_text(options.bandwidth_limit)} per second, by bandwidth_limit"
