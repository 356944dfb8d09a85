"""What Airflow is told of this package as one of its providers (entry point ``apache_airflow_provider``)."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """In the terms of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "tui-sync",
        "name": "tui-sync",
        "description": "One-way file synchronisation between SFTP servers, S3 buckets and local folders.",
        "config": {
            "tui_sync": {
                "description": "Where tui-sync keeps what its tasks hand on to each other.",
                "options": {
                    "storage": {
                        "description": (
                            "A folder that all workers reach, as an object storage path such as\n"
                            "``s3://aws_default@bucket/tui-sync`` or ``file:///shared/tui-sync``. Left out:\n"
                            "the folder ``tui-sync`` below AIRFLOW_HOME, which is right for one machine.\n"
                        ),
                        "version_added": None,
                        "type": "string",
                        "example": "file:///shared/tui-sync",
                        "default": None,
                    }
                },
            }
        },
    }
