"""From a folder in a bucket to an SFTP server: connections ``source_s3_conn`` and ``target_sftp_conn``."""

import os

from tui_sync.airflow.factory import sync_dag
from tui_sync.airflow.places import S3, Sftp

dag = sync_dag(
    "airflow_s3_sync_dag",
    # What is below the prefix lands in the path: upload/a/b as /upload/a/b. An empty one is the whole bucket.
    source=S3(
        "source_s3_conn",
        os.environ.get("SOURCE_BUCKET", "tui-sync"),
        os.environ.get("SOURCE_PREFIX", "upload"),
    ),
    target=Sftp("target_sftp_conn", os.environ.get("TARGET_PATH", "/upload")),
    pool="target_sftp_conn",
)
