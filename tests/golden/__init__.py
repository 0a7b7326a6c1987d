"""Tiny programs with the exact integers that they give, kept so that no change can move one."""
