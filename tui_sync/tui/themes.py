"""The app's own two themes; all others of Textual can be chosen from the palette."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="tui-sync",
    primary="#6cb2eb",
    secondary="#8fa3b8",
    accent="#f0b95b",
    success="#7bc99a",
    warning="#e9a15b",
    error="#e8707a",
    foreground="#d5dce6",
    background="#12161d",
    surface="#171c25",
    panel="#1f2631",
    variables={
        "block-cursor-background": "#2b4a6b",
        "block-cursor-foreground": "#f3f7fb",
        "block-cursor-blurred-background": "#263242",
        "footer-key-foreground": "#6cb2eb",
        "border": "#4f7ea8",
        "border-blurred": "#2c3644",
    },
)

LIGHT = Theme(
    name="tui-sync-light",
    primary="#1b66b5",
    secondary="#51657b",
    accent="#9a5a00",
    success="#1d7a46",
    warning="#a35a00",
    error="#b72f3b",
    foreground="#1d2630",
    background="#f4f6f8",
    surface="#fcfdfd",
    panel="#e6ebf0",
    dark=False,
    variables={
        "block-cursor-background": "#c4dbf3",
        "block-cursor-foreground": "#101820",
        "block-cursor-blurred-background": "#dde6ef",
        "footer-key-foreground": "#1b66b5",
        "border": "#6f9cc9",
        "border-blurred": "#c5cfd9",
    },
)
