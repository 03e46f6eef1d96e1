"""Tables as LaTeX, for a document that loads booktabs."""

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
"""How each sign of the report's tables is written."""


def escape(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(LATEX_REPLACEMENTS.get(sign, sign) for sign in text)


def to_latex(table: Table) -> str:
    """A table environment with booktabs rules; the first column is flush left, the others flush right."""
    shown = table.text.map(escape)
    shown.columns = [escape(str(head)) for head in shown.columns]
    # a row that begins with [ would be taken for the optional argument of the \\ before it
    first = shown.columns[0]
    shown[first] = [f"{{{text}}}" if text.startswith("[") else text for text in shown[first]]
    return (
        shown.style.hide(axis="index")
        .to_latex(
            hrules=True,
            column_format=_columns(table),
            caption=escape(table.caption),
            label=f"tab:{table.name}",
            position="htbp",
            position_float="centering",
        )
    )  # fmt: skip


def _columns(table: Table) -> str:
    """Numbers flush right; sentences in columns that share the line."""
    count = len(table.text.columns)
    return rf"*{{{count}}}{{p{{{0.9 / count:.2f}\linewidth}}}}" if table.prose else "l" + "r" * (count - 1)


def write_latex(table: Table, folder: Path) -> None:
    """Write `<name>.tex`, to be taken in with LaTeX's input command."""
    atomic_write_text(folder / f"{table.name}.tex", to_latex(table))
