"""The report as a folder of files, and its page in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from matplotlib.image import imread

from seenet.core.errors import SeenetError
from seenet.reporting.html_report import write_report
from support.console import HANG
from support.fabricated_results import fabricate_results, read_report_table

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_report_has_all_sections_and_files(report: Path):
    page = (report / "index.html").read_text()
    headings = re.findall(r"<h3[^>]*>([^<]+)</h3>", page)
    assert headings == [
        *("Leaderboard", "Classes", "Speakers", "Learning curves", "Noise robustness", "Calibration", "Embeddings"),
        *("Misclassified clips", "Provenance"),
    ]
    assert "SYNTHETIC corpus" in page.split("</h1>")[1][:300], "the warning is at the top"
    assert page.count("<audio") == 8
    assert page.count("data:audio/mpeg;base64,") == 8
    assert len(page) < 5_000_000
    figures = {path.stem for path in (report / "figures").glob("*.png")}
    assert figures == {path.stem for path in (report / "figures").glob("*.pdf")}
    assert page.count("<img alt=") == page.count("data:image/svg+xml;base64,") == len(figures)
    tables = {path.stem for path in (report / "tables").glob("*.csv")}
    assert tables == {path.stem for path in (report / "tables").glob("*.tex")}
    for tex in (report / "tables").glob("*.tex"):
        text = tex.read_text()
        assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{"))
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page), "the page loads nothing from elsewhere"


def test_write_report_replaces_report_only_when_results_change(outputs: Path, report: Path, tmp_path: Path):
    made = (report / "index.html").stat().st_mtime_ns
    assert write_report([outputs], report).stat().st_mtime_ns == made
    fabricate_results(tmp_path / "outputs", augs=("none",), folds=(0,), n_speakers=12)
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    assert "<audio" not in page
    assert "only 1 of 3 folds have results" in page
    assert "Only 4 speakers" in page
    fabricate_results(tmp_path / "outputs", augs=("mixup",), folds=(0,), n_speakers=12)
    assert "aug=mixup" in write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()


def test_write_report_explains_user_errors(tmp_path: Path, outputs: Path):
    with pytest.raises(SeenetError, match="no result below"):
        write_report([tmp_path], tmp_path / "report")
    with pytest.raises(SeenetError, match="is not a folder"):
        write_report([tmp_path / "nowhere"], tmp_path / "report")
    with pytest.raises(SeenetError, match="'aug=ebn': no arm has this name; expected one of .*'aug=ebm'"):
        write_report([outputs], tmp_path / "report", baseline="aug=ebn")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("user data")
    with pytest.raises(SeenetError, match="exists and is not a report"):
        write_report([outputs], tmp_path / "mine")
    assert (tmp_path / "mine/thesis.tex").read_text() == "user data"
    old = tmp_path / "old/fold0/clean"
    old.mkdir(parents=True)
    (old / "result.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(SeenetError, match="schema 1, .* run the same seenet-train command again"):
        write_report([tmp_path / "old"], tmp_path / "report")


@pytest.mark.parametrize("foreign", ["thesis.tex", "tables/thesis.docx"])
def test_write_report_keeps_foreign_files(tmp_path: Path, foreign: str):
    """Cases: a folder that only resembles a report, and a report with an additional file."""
    outputs, mine = tmp_path / "outputs", tmp_path / "mine"
    fabricate_results(outputs, augs=("none",), folds=(0,))
    (mine / foreign).parent.mkdir(parents=True)
    (mine / foreign).write_text("user data")
    (mine / "made_of.txt").write_text("not a fingerprint")
    with pytest.raises(SeenetError, match="exists and is not a report"):
        write_report([outputs], mine)
    (mine / "made_of.txt").write_text("0123456789ab")
    with pytest.raises(SeenetError, match=f"contains '{foreign}', which no report wrote"):
        write_report([outputs], mine)
    assert (mine / foreign).read_text() == "user data"


def test_write_report_keeps_old_report_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fabricate_results(tmp_path / "outputs", augs=("none",), folds=(0,))
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False)
    old = page.read_text()
    fabricate_results(tmp_path / "outputs", augs=("mixup",), folds=(0,))
    with monkeypatch.context() as broken, pytest.raises(SeenetError, match="cannot be written .no space"):
        broken.setattr("seenet.reporting.html_report._render_page", mock.Mock(side_effect=OSError("no space")))
        write_report([tmp_path / "outputs"], tmp_path / "report", audio=False)
    assert page.read_text() == old
    assert "aug=mixup" in write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    assert not list(tmp_path.glob("report.tmp-*"))


def test_seenet_report_writes_report_or_one_error_line(seenet_report, tmp_path: Path):
    fabricate_results(tmp_path / "outputs", augs=("none", "mixup"), folds=(0,))
    options = ("--output", str(tmp_path / "r"), "--baseline", "aug=mixup", "--no-audio")
    done = seenet_report(str(tmp_path / "outputs"), *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "r/index.html")
    assert set(read_report_table(tmp_path / "r", "differences")["baseline"]) == {"aug=mixup"}
    wrong = seenet_report(str(tmp_path / "nowhere"))
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("seenet: error: ")
    assert wrong.stderr.count("\n") == 1


def take_screenshot(page: Path, picture: Path, *flags: str) -> bytes:
    common = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,2500"]
    command = [CHROMIUM, *common, *flags, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=HANG, check=True)
    return imread(picture).tobytes()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_page_stays_light_in_automatic_dark_mode(report: Path, tmp_path: Path):
    """Browsers that darken light pages invert the labels of SVG figures, but not their background."""
    dark, page = ("--enable-features=WebContentsForceDark", "--force-dark-mode"), report / "index.html"
    light = take_screenshot(page, tmp_path / "light.png")
    assert take_screenshot(page, tmp_path / "dark.png", *dark) == light
    (tmp_path / "page.html").write_text(page.read_text().replace("only light", "light"))
    assert take_screenshot(tmp_path / "page.html", tmp_path / "dark.png", *dark) != light, (
        "the check must be able to fail"
    )


def open_in_browser(page: Path) -> tuple[str, str]:
    """Return the document after its scripts have run, and the output of the browser console."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *flags, page.as_uri()], capture_output=True, text=True, timeout=HANG)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_page_works_in_browser(report: Path, tmp_path: Path):
    """The console is empty (a blocked request would be an entry), and tables sort by number."""
    page = (report / "index.html").read_text()
    clicks = """<script>
      for (const head of document.querySelectorAll("#leaderboard-table th")) {
        head.firstElementChild.click();
        const rows = [...document.querySelectorAll("#leaderboard-table tbody tr")];
        document.body.dataset[`sorted${head.cellIndex}`] = rows.map((row) => row.cells[head.cellIndex].innerText);
      }
      document.body.dataset.aria = [...document.querySelectorAll("#leaderboard-table th")].map((h) => h.ariaSort);
      document.body.dataset.broken = [...document.images].filter((image) => image.naturalWidth === 0).length;
    </script></body>"""
    (tmp_path / "page.html").write_text(page.replace("</body>", clicks))
    document, console = open_in_browser(tmp_path / "page.html")
    assert console == ""
    assert 'data-broken="0"' in document
    assert 'data-sorted0="aug=ebm,aug=mixup,aug=none"' in document
    ua = read_report_table(report, "leaderboard")["ua_pooled"].sort_values(ascending=False)
    assert f'data-sorted4="{",".join(f"{100 * value:.1f}" for value in ua)}"' in document
    assert re.search(r'data-aria="(none,){8}descending"', document)
    leaking = page.replace("</main>", '<img alt="" src="http://127.0.0.1:9/x.png"></main>')
    (tmp_path / "leaking.html").write_text(leaking)
    assert "127.0.0.1" in open_in_browser(tmp_path / "leaking.html")[1], "the browser check must be able to fail"
