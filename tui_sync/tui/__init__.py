"""The app: a Textual face on one session."""
