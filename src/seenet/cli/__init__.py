"""The console commands `seenet-train`, `seenet-data` and `seenet-report`.

In: a command line. Out: an exit code, printed tables and one-line errors. Only this room prints errors and exits.
"""
