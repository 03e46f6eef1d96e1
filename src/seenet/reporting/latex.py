"""LaTeX tables for documents that load booktabs."""

from pathlib import Path

from seenet.core.atomic import atomic_write_text
from seenet.reporting.document import Table

LATEX_REPLACEMENTS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "\N{NO-BREAK SPACE}": "~",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "\N{MINUS SIGN}": "$-$",
    "<": "$<$",
    ">": "$>$",
    "–": "--",
    "…": r"\ldots{}",
}
"""Characters with a special form in LaTeX."""


def escape_latex(text: str) -> str:
    """Return LaTeX source that prints the text."""
    return "".join(LATEX_REPLACEMENTS.get(sign, sign) for sign in text)


def format_latex(table: Table) -> str:
    """Return a table environment with booktabs rules.

    The first column is flush left, the others are flush right.
    """
    shown = table.text.map(escape_latex)
    shown.columns = [escape_latex(str(head)) for head in shown.columns]
    # LaTeX reads a `[` after `\\` as the start of an optional argument; braces prevent it.
    first = shown.columns[0]
    shown[first] = [f"{{{text}}}" if text.startswith("[") else text for text in shown[first]]
    source: str = shown.style.hide(axis="index").to_latex(
        hrules=True,
        column_format=_format_columns(table),
        caption=escape_latex(table.caption),
        label=f"tab:{table.name}",
        position="htbp",
        position_float="centering",
    )
    return source


def _format_columns(table: Table) -> str:
    """Return the column specification; columns of prose share the line width equally."""
    count = len(table.text.columns)
    return rf"*{{{count}}}{{p{{{0.9 / count:.2f}\linewidth}}}}" if table.is_prose else "l" + "r" * (count - 1)


def write_latex(table: Table, folder: Path) -> None:
    r"""Write `<name>.tex`, which a document includes with `\input`."""
    atomic_write_text(folder / f"{table.name}.tex", format_latex(table))
