"""Carrying out a plan: worker threads, one file at a time each, verified before it is published."""
