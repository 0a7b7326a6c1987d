"""Claims over seeds: suites of training jobs, how they are run, and what they are judged by."""
