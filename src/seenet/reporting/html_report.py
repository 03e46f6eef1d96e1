"""The report: one HTML page, tables as CSV and LaTeX, and figures as PNG and PDF."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seenet.core.atomic import atomic_write_text, build_directory_once
from seenet.core.errors import SeenetError
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.console_tables import collect_remarks
from seenet.reporting.document import Section
from seenet.reporting.grouping import Arm, Study, check_baseline, group_into_studies
from seenet.reporting.latex import write_latex
from seenet.reporting.page_templates import load_template
from seenet.reporting.result_loader import ResultSet, is_cross_corpus, load_results
from seenet.reporting.sections.calibration import build_calibration_section
from seenet.reporting.sections.classes import build_classes_section
from seenet.reporting.sections.embeddings import build_embedding_section
from seenet.reporting.sections.fidelity import build_fidelity_section
from seenet.reporting.sections.layer_weights import build_layer_weights_section
from seenet.reporting.sections.leaderboard import build_leaderboard_section
from seenet.reporting.sections.learning_curves import build_learning_section
from seenet.reporting.sections.misclassified_clips import build_misclassified_section
from seenet.reporting.sections.noise_robustness import build_noise_section
from seenet.reporting.sections.provenance import build_provenance_section
from seenet.reporting.sections.published import build_published_section
from seenet.reporting.sections.speakers import build_speakers_section
from seenet.runs.identity import digest

PAGE, FINGERPRINT_FILE = "index.html", "made_of.txt"
REPORT_FILES = re.compile(
    rf"{re.escape(PAGE)}|{re.escape(FINGERPRINT_FILE)}|figures/[^/]+\.(png|pdf)|tables/[^/]+\.(csv|tex)"
)
"""Pattern of the files of a report, relative to its folder."""

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs many lines for each PDF


@dataclass(frozen=True)
class Chapter:
    """A study on the page.

    Attributes:
        title: the title of the study.
        facts: the size and the settings of the comparison.
        remarks: warnings that every reader of its figures needs.
        sections: the sections in their order.
    """

    title: str
    facts: list[str]
    remarks: list[str]
    sections: list[Section]


def write_report(folders: Sequence[Path], output: Path, baseline: str | None = None, audio: bool = True) -> Path:
    """Write a report on every result below some folders, unless the report is up to date.

    Args:
        folders: runs, sweeps or all of `outputs/`.
        output: the folder of the report; an outdated report in it is replaced.
        baseline: the name of the arm to compare with; None selects the arm with most choices `none`.
        audio: whether the page contains audio of misclassified clips.

    Returns:
        The path of the page, `index.html`.

    Raises:
        SeenetError: if there is no result or no such arm, or if `output` has files that no report wrote.
    """
    results = load_results(folders)
    studies = group_into_studies(results.results)
    check_baseline(studies, baseline)
    fingerprint = _compute_fingerprint(results, [baseline, audio])

    def build(folder: Path) -> None:
        chapters = []
        for number, study in enumerate(studies, start=1):
            prefix = f"{number}-" if len(studies) > 1 else ""
            chapters.append(_build_chapter(study, baseline, audio, folder / "figures", prefix))
        for table in (table for chapter in chapters for section in chapter.sections for table in section.tables):
            table.write_csv(folder / "tables")
            write_latex(table, folder / "tables")
        atomic_write_text(folder / PAGE, _render_page(results, chapters))
        atomic_write_text(folder / FINGERPRINT_FILE, fingerprint)

    def is_outdated(folder: Path) -> bool:
        return (folder / FINGERPRINT_FILE).read_text(encoding="utf-8") != fingerprint

    if output.exists():
        _check_is_report(output)
    build_directory_once(output, build, is_outdated)
    return output / PAGE


def _check_is_report(folder: Path) -> None:
    """Refuse a folder with other files, because a new report replaces the folder."""
    path = folder / FINGERPRINT_FILE
    if not (path.is_file() and re.fullmatch(r"[0-9a-f]{12}", path.read_text(encoding="utf-8", errors="replace"))):
        raise SeenetError(f"--output '{folder}' exists and is not a report; give a new folder")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    foreign = [name for name in files if not REPORT_FILES.fullmatch(name)]
    if foreign:
        raise SeenetError(
            f"--output '{folder}' contains '{foreign[0]}', which no report wrote; move it away or give a new folder"
        )


def _compute_fingerprint(results: ResultSet, options: Sequence[object]) -> str:
    """Return a hash of name, size and modification time of all results and of the program."""
    files = {file for r in results.results for folder in (r.folder, r.folder.parent) for file in folder.rglob("*.*")}
    program = [path for path in Path(__file__).parent.rglob("*") if path.is_file()]
    state = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in sorted([*files, *program])]
    return digest([state, results.failed, results.remarks, *options])


def _build_chapter(study: Study, baseline: str | None, audio: bool, folder: Path, prefix: str) -> Chapter:
    arms = [ArmMetrics(arm, arm.select_results(study.condition), study.classes) for arm in study.select_tested_arms()]
    arms.sort(key=lambda arm: -arm.ua)  # one order for all figures gives each arm one colour
    untested = [arm for arm in study.arms if not arm.select_results(study.condition)]
    baseline_arm = study.choose_baseline(baseline)
    base = next(arm for arm in arms if arm.arm is baseline_arm)
    sections = [
        build_leaderboard_section(arms, base, folder, prefix),
        build_published_section(study, arms, prefix),
        build_fidelity_section(study, arms, prefix),
        build_classes_section(arms, folder, prefix),
        build_speakers_section(arms, folder, prefix),
        build_learning_section(study, arms, folder, prefix),
        build_layer_weights_section(arms, folder, prefix),
        build_noise_section(study, [*(arm.arm for arm in arms), *untested], folder, prefix),
        build_calibration_section(study, arms, folder, prefix),
        build_embedding_section(arms[0], base, folder, prefix),
        build_misclassified_section(arms[0], audio),
        build_provenance_section(study, arms, prefix),
    ]
    remarks = [
        *collect_remarks([result.facts for arm in study.arms for result in arm.results]),
        *_list_missing_results(study, arms, untested),
    ]
    return Chapter(study.title, _list_facts(study, arms, base), remarks, [section for section in sections if section])


def _list_facts(study: Study, arms: Sequence[ArmMetrics], base: ArmMetrics) -> list[str]:
    """Return classes, arms, folds, seeds and selection of a study."""
    first = study.first_facts
    folds, seeds = _list_folds(study), _list_seeds(study)
    fold_count = "" if is_cross_corpus(first) else f"folds: {len(folds)} of {first['n_folds']}; "
    return [
        f"classes: {', '.join(study.classes)}",
        f"arms: {len(arms)}, baseline {base.arm.name}",
        f"{fold_count}seeds: {', '.join(map(str, seeds))}",
        "epoch selected on " + ("the test fold" if first["selection"] == "test" else "held-out training speakers"),
        *([f"test condition: {study.condition}"] if study.condition != "clean" else []),
    ]


def _list_missing_results(study: Study, arms: Sequence[ArmMetrics], untested: Sequence[Arm]) -> list[str]:
    """Return remarks on incomplete arms, arms without the test condition and missing folds."""
    first: Mapping[str, Any] = study.first_facts
    folds = _list_folds(study)
    expected = len(folds) * len(_list_seeds(study))
    remarks = []
    for arm in arms:
        missing = expected - len(arm.results)
        if missing:
            remarks.append(f"{arm.arm.name} is incomplete: {missing} of {expected} folds and seeds are missing")
    for other in untested:
        tested = ", ".join(dict.fromkeys(result.condition for result in other.results))
        remarks.append(
            f"{other.name} has no result in {study.condition}, only in {tested}: it appears in the noise section only"
        )
    # A further test corpus is a separate study, not a fold.
    if not is_cross_corpus(first) and len(folds) != first["n_folds"]:
        remarks.append(
            f"only {len(folds)} of {first['n_folds']} folds have results: the figures cover part of the corpus"
        )
    return remarks


def _list_folds(study: Study) -> list[int | str]:
    return sorted({fold for fold, _ in study.list_folds_and_seeds()})


def _list_seeds(study: Study) -> list[int]:
    return sorted({seed for _, seed in study.list_folds_and_seeds()})


def _render_page(results: ResultSet, chapters: Sequence[Chapter]) -> str:
    synthetic = all(result.facts["synthetic"] for result in results.results)
    return load_template("report.html.j2").render(results=results, chapters=chapters, synthetic=synthetic)
