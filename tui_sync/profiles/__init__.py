"""Saved pairs: one TOML file each, read with errors that name file, key and remedy."""

from tui_sync.profiles.files import Available, available, find, folder, load, place, quick, text_of
from tui_sync.profiles.profile import Profile, with_options
from tui_sync.profiles.values import parse_delete_limit, parse_keep, parse_size

__all__ = [
    "Available",
    "Profile",
    "available",
    "find",
    "folder",
    "load",
    "parse_delete_limit",
    "parse_keep",
    "parse_size",
    "place",
    "quick",
    "text_of",
    "with_options",
]
