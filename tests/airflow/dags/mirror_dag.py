"""A mirror in small shards."""

import os

from tui_sync.airflow.factory import sync_dag
from tui_sync.airflow.places import Sftp

dag = sync_dag(
    "mirror_dag",
    source=Sftp("source_sftp_conn", os.environ.get("SOURCE_PATH", "/upload")),
    target=Sftp("target_sftp_conn", os.environ.get("TARGET_PATH", "/upload")),
    sync={"mode": "mirror", "max_delete": "100%", "bandwidth_limit": "100M"},
    shard_files=4,
    retries=0,
)
