"""SFTP: SSH transports, the SFTP version 3 protocol, and the connector on top."""
