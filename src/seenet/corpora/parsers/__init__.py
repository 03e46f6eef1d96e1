"""One parser per corpus.

In: the folder of a corpus. Out: its manifest. Modules with a leading underscore hold what several parsers share.
"""
