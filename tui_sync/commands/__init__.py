"""The commands beside syncing: profiles, runs, completion. One module each, loaded when it is asked for."""
