"""LaTeX tables: escapes and compilation."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from seenet.reporting.document import Table
from seenet.reporting.latex import format_latex

PDFLATEX = shutil.which("pdflatex")


@pytest.mark.parametrize("text", ["50 % & more", "aug=gaussian_snr", r"a\b{c}", "→ ± × − –", "[1, 2]", "< 0.001"])
def test_format_latex_escapes_special_characters(text: str):
    frame = pd.DataFrame({"arm_name": [text], "UA %": ["1"]})
    made = format_latex(Table("t", text, frame, frame))
    body = made.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert not re.search(r"(?<!\\)[%_](?!\\)", body.replace(r"\%", "").replace(r"\_", ""))
    assert r"arm\_name & UA \%" in made


@pytest.mark.slow
@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
def test_latex_tables_compile(report: Path, tmp_path: Path):
    inputs = "\n".join(rf"\input{{{path}}}" for path in sorted((report / "tables").glob("*.tex")))
    preamble = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{textcomp}\usepackage{booktabs}"
    (tmp_path / "doc.tex").write_text(rf"{preamble}\begin{{document}}{inputs}\end{{document}}")
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "doc.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "doc.pdf").stat().st_size > 10_000
