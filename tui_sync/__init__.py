"""One-way file synchronisation between SFTP servers, S3 buckets and local folders."""

__version__ = "0.1.0"
