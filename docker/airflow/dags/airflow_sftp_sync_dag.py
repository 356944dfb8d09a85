"""From one SFTP server to another: the connections ``source_sftp_conn`` and ``target_sftp_conn``."""

import os

from tui_sync.airflow.factory import sync_dag
from tui_sync.airflow.places import Sftp

dag = sync_dag(
    "airflow_sftp_sync_dag",
    source=Sftp("source_sftp_conn", os.environ.get("SOURCE_PATH", "/upload")),
    target=Sftp("target_sftp_conn", os.environ.get("TARGET_PATH", "/upload")),
    pool="target_sftp_conn",
)
