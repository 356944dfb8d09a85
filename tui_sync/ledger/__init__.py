"""What a pair planned, did and last synced: one SQLite file each."""

from tui_sync.ledger.store import Ledger, RunRecord, ledger_path, open_ledger

__all__ = ["Ledger", "RunRecord", "ledger_path", "open_ledger"]
