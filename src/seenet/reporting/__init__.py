"""Results to tables, figures and the HTML report.

In: folders with results. Out: console tables, one HTML page, CSV and LaTeX tables, PNG and PDF figures. It needs
neither corpus nor model.
"""
