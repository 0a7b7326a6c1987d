"""The `rivc` command: one verb, one file, loaded when it is called."""
