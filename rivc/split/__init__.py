"""The policy split between robot and server."""
