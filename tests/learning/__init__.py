"""Learning runs: slow, resumed rather than repeated."""
