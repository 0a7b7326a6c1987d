"""Comparisons that anybody can run again: the peer and rivc in one process, on the same work."""
