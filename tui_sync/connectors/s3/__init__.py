"""Buckets that speak the S3 protocol, by boto3."""
