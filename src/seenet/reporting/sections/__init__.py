"""Sections of the report.

Each module turns the arms of a study into one `Section` of text, tables and figures.
"""
