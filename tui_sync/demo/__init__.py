"""A place to try things: two embedded SFTP servers with sample data."""
