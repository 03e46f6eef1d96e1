"""The report: from results alone to one HTML page, tables as CSV and LaTeX, figures as PNG and PDF."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from seenet.core.atomic import atomic_write_text, build_directory_once
from seenet.core.errors import SeenetError
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.console_tables import remarks
from seenet.reporting.document import Section
from seenet.reporting.grouping import Study, check_baseline, group_into_studies
from seenet.reporting.latex import write_latex
from seenet.reporting.result_loader import ResultSet, is_cross_corpus, load_results
from seenet.reporting.sections.calibration import calibration_section
from seenet.reporting.sections.classes_speakers_curves import classes_section, learning_section, speakers_section
from seenet.reporting.sections.embeddings_and_mistakes import embedding_section, mistakes_section
from seenet.reporting.sections.fidelity import fidelity_section
from seenet.reporting.sections.leaderboard import leaderboard
from seenet.reporting.sections.noise import noise_section
from seenet.reporting.sections.provenance import provenance_section
from seenet.reporting.sections.published import published_section
from seenet.runs.identity import digest

PAGE, FINGERPRINT_FILE = "index.html", "made_of.txt"
WRITTEN = re.compile(
    rf"{re.escape(PAGE)}|{re.escape(FINGERPRINT_FILE)}|figures/[^/]+\.(png|pdf)|tables/[^/]+\.(csv|tex)"
)
"""The files of a report, by their place in its folder."""

logging.getLogger("fontTools").setLevel(logging.WARNING)  # a page of lines for each PDF


@dataclass(frozen=True)
class Chapter:
    """A study on the page.

    Attributes:
        title: of the study.
        facts: what was compared, in words.
        remarks: what every reader of its figures must know.
        sections: in their order.
    """

    title: str
    facts: list[str]
    remarks: list[str]
    sections: list[Section]


def write_report(folders: Sequence[Path], output: Path, baseline: str | None = None, audio: bool = True) -> Path:
    """Write a report on every result below some folders; one of the same results stays, another is replaced.

    Args:
        folders: runs, sweeps or whole `outputs/`.
        output: where to; `index.html` is the page.
        baseline: the arm that the others are compared with; None takes the one with most choices `none`.
        audio: whether the page plays mistakes.

    Returns:
        The page.

    Raises:
        SeenetError: no result, an arm that is not there, or a folder with files that no report wrote.
    """
    findings = load_results(folders)
    found = group_into_studies(findings.results)
    check_baseline(found, baseline)
    made_of = _made_of(findings, [baseline, audio])
    chapters: list[Chapter] = []

    def make(folder: Path) -> None:
        for number, study in enumerate(found, start=1):
            prefix = f"{number}-" if len(found) > 1 else ""
            chapters.append(_chapter(study, baseline, audio, folder / "figures", prefix))
        tables = [table for chapter in chapters for section in chapter.sections for table in section.tables]
        for table in tables:
            table.write_csv(folder / "tables")
            write_latex(table, folder / "tables")
        atomic_write_text(folder / PAGE, _page(findings, chapters))
        atomic_write_text(folder / FINGERPRINT_FILE, made_of)

    if output.exists():
        _require_report(output)
    build_directory_once(
        output, make, lambda folder: (folder / FINGERPRINT_FILE).read_text(encoding="utf-8") != made_of
    )
    return output / PAGE


def _require_report(folder: Path) -> None:
    """Whatever else is in the folder would be lost with the report in it."""
    made_of = folder / FINGERPRINT_FILE
    if not (made_of.is_file() and re.fullmatch(r"[0-9a-f]{12}", made_of.read_text(encoding="utf-8", errors="replace"))):
        raise SeenetError(f"--output '{folder}' is there and is no report; give a new folder")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    foreign = [name for name in files if not WRITTEN.fullmatch(name)]
    if foreign:
        raise SeenetError(
            f"--output '{folder}' holds '{foreign[0]}', which no report wrote; move it away or give a new folder"
        )


def _made_of(findings: ResultSet, options: Sequence[object]) -> str:
    """A hash of what a report is made of: names, sizes and times of change of the files, and this program."""
    files = {file for r in findings.results for folder in (r.folder, r.folder.parent) for file in folder.rglob("*.*")}
    program = [path for path in Path(__file__).parent.rglob("*") if path.is_file()]
    state = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in sorted([*files, *program])]
    return digest([state, findings.failed, findings.remarks, *options])


def _chapter(study: Study, baseline: str | None, audio: bool, folder: Path, prefix: str) -> Chapter:
    arms = [ArmMetrics(arm, arm.under(study.condition), study.classes) for arm in study.tested()]
    arms.sort(key=lambda arm: -arm.ua)  # every figure in one order, so that an arm keeps its colour
    elsewhere = [arm for arm in study.arms if not arm.under(study.condition)]
    named = study.baseline(baseline)
    base = next(arm for arm in arms if arm.arm is named)
    sections = [
        leaderboard(study, arms, base, folder, prefix),
        published_section(study, arms, prefix),
        fidelity_section(study, arms, prefix),
        classes_section(arms, folder, prefix),
        speakers_section(arms, folder, prefix),
        learning_section(study, arms, folder, prefix),
        noise_section(study, [*(arm.arm for arm in arms), *elsewhere], folder, prefix),
        calibration_section(study, arms, folder, prefix),
        embedding_section(arms[0], base, folder, prefix),
        mistakes_section(arms[0], audio),
        provenance_section(study, arms, prefix),
    ]
    first, parts = study.first, study.parts()
    folds, seeds = (sorted({part[k] for part in parts}) for k in (0, 1))
    whole = is_cross_corpus(first) or len(folds) == first["n_folds"]  # another test corpus is another study, not a fold
    facts = [
        f"classes: {', '.join(study.classes)}",
        f"arms: {len(arms)}, baseline {base.arm.name}",
        ("" if is_cross_corpus(first) else f"folds: {len(folds)} of {first['n_folds']}; ")
        + f"seeds: {', '.join(map(str, seeds))}",
        "epoch selected on " + ("the test fold" if first["selection"] == "test" else "held-out training speakers"),
        *([f"test condition: {study.condition}"] if study.condition != "clean" else []),
    ]
    said = remarks([result.facts for arm in study.arms for result in arm.results])
    for arm in arms:
        missing = len(folds) * len(seeds) - len(arm.results)
        if missing:
            said.append(
                f"{arm.arm.name} is incomplete: {missing} of {len(folds) * len(seeds)} folds and seeds are missing"
            )
    for arm in elsewhere:
        tested = ", ".join(dict.fromkeys(r.condition for r in arm.results))
        said.append(
            f"{arm.name} has no result in {study.condition}, of which all but the noise section is: only in {tested}"
        )
    if not whole:
        said.append(f"{len(folds)} of {first['n_folds']} folds are there: the figures are of a part of the corpus")
    return Chapter(study.title, facts, said, [section for section in sections if section])


def _page(findings: ResultSet, chapters: Sequence[Chapter]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    synthetic = all(result.facts["synthetic"] for result in findings.results)
    return environment.get_template("report.html.j2").render(findings=findings, chapters=chapters, synthetic=synthetic)
