"""Settings that make a task learn well, searched with Optuna (extra ``tune``)."""
