"""The tests, laid out like the sources; what several files share stands at the top."""
