"""From a bucket to an SFTP server: the connections ``source_s3_conn`` and ``target_sftp_conn``."""

import os

from tui_sync.airflow.factory import sync_dag
from tui_sync.airflow.places import S3, Sftp

dag = sync_dag(
    "airflow_s3_sync_dag",
    source=S3("source_s3_conn", os.environ.get("SOURCE_BUCKET", "tui-sync")),
    target=Sftp("target_sftp_conn", os.environ.get("TARGET_PATH", "/upload")),
    pool="target_sftp_conn",
)
