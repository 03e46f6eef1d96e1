"""Parsers, one per corpus: the function `read` reads a folder or table into a manifest.

Modules with a leading underscore contain functions that several parsers share.
"""
