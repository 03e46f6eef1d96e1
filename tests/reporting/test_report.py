"""The report: its numbers against hand computations, what it says, and the page in a real browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import recall_score

from seenet.core.errors import SeenetError
from seenet.reporting.arm_metrics import clips_of
from seenet.reporting.document import Table
from seenet.reporting.grouping import group_into_studies
from seenet.reporting.html_report import write_report
from seenet.reporting.latex import to_latex
from seenet.reporting.published_results import mismatches, published_row
from seenet.reporting.result_loader import load_results
from seenet.reporting.sections.noise import noise_section
from support.console import HANG
from support.fabricated_results import fabricate, sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PDFLATEX = shutil.which("pdflatex")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms, two seeds, three folds of 24 speakers, clean and in noise."""
    folder = tmp_path_factory.mktemp("fabricated") / "outputs"
    fabricate(folder, seeds=(0, 1), snrs=(0, 10, 20))
    return folder


@pytest.fixture(scope="module")
def report(outputs: Path) -> Path:
    """The folder of a report on them."""
    return write_report([outputs], outputs / "report").parent


def table(report: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(report / "tables" / f"{name}.csv").set_index("arm")


def clips(outputs: Path, aug: str, condition: str = "clean") -> pd.DataFrame:
    """Every test clip of an arm."""
    paths = outputs.glob(f"*-wavlm_tiny-{aug}-*/fold*/{condition}*/predictions.csv")
    return pd.concat(pd.read_csv(path).assign(run=str(path)) for path in sorted(paths))


def test_the_leaderboard_is_what_the_predictions_say(outputs: Path, report: Path):
    found = table(report, "leaderboard")
    assert list(found.index) == ["aug=ebm", "aug=mixup", "aug=none"], "best first"
    for aug in ("ebm", "mixup", "none"):
        row, rows = found.loc[f"aug={aug}"], clips(outputs, aug)
        each = [recall_score(r["label"], r["prediction"], average="macro") for _, r in rows.groupby("run")]
        assert (row["folds"], row["seeds"], row["test_clips"], len(each)) == (3, 2, 1920, 6)
        assert row["ua"] == pytest.approx(np.mean(each))
        assert row["ua_std"] == pytest.approx(np.std(each, ddof=1))
        pooled = recall_score(rows["label"], rows["prediction"], average="macro")
        assert row["ua_pooled"] == pytest.approx(pooled)
        assert row["ua_low"] < pooled < row["ua_high"]


def test_differences_are_paired_with_the_baseline(report: Path):
    found, ranks = table(report, "differences"), table(report, "leaderboard")["ua_pooled"]
    assert list(found.index) == ["aug=ebm", "aug=mixup"]
    assert set(found["baseline"]) == {"aug=none"}
    for arm, row in found.iterrows():
        assert row["difference"] == pytest.approx(ranks[arm] - ranks["aug=none"])
        assert row["low"] < row["difference"] < row["high"]
        assert row["p"] <= row["p_holm"] <= 2 * row["p"]
        assert (row["clips"], row["left_out"]) == (1920, 0)
    page = (report / "index.html").read_text()
    assert f"+{100 * found.loc['aug=ebm', 'difference']:.1f}" in page


def test_sessions_are_the_clusters_of_intervals_and_tests(tmp_path: Path):
    """Three folds of one session of two speakers: intervals over 3 sessions, by hand, and no p below 1/4."""
    made = {"augs": ("none", "ebm"), "n_speakers": 6, "snrs": (10,)}
    fabricate(tmp_path / "outputs", sessions=True, facts={"audit": {"verdict": "clean", "session": 0}}, **made)
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    for words in (
        "with a 95 % interval over sessions.",
        "permutation test that swaps whole sessions",
        "95 % intervals over sessions",
        "Intervals and tests are over sessions: the speakers of a session are taken together.",
        "Only 3 sessions: p cannot be below 0.25.",
    ):
        assert words in page, words
    rows = clips(tmp_path / "outputs", "ebm")
    assert rows.groupby("session")["speaker"].nunique().tolist() == [2, 2, 2]

    def ua(rows: pd.DataFrame) -> float:
        return recall_score(rows["label"], rows["prediction"], average="macro")

    without = [ua(rows[rows["session"] != name]) for name in rows["session"].unique()]
    reach = stats.t.ppf(0.975, 2) * np.std(without) * np.sqrt(2)
    row = table(tmp_path / "report", "leaderboard").loc["aug=ebm"]
    assert (row["ua_low"], row["ua_high"]) == pytest.approx((ua(rows) - reach, min(ua(rows) + reach, 1)))
    assert table(tmp_path / "report", "differences").loc["aug=ebm", "p"] >= 0.25


def test_clusters_are_speakers_when_sessions_tell_nothing(tmp_path: Path):
    """No session, a result that does not record it, one session for all: speakers, and the page says why."""
    known = {"audit": {"verdict": "clean", "session": 0}}
    reasons = {
        "none": ({}, ""),
        "older": ({"sessions": None, "facts": known}, "results of an older version do not record sessions"),
        "shared": ({"sessions": True, "facts": known, "folds": (0,)}, "all speakers share one session"),
        "unknown": ({"sessions": None}, ""),
    }
    for name, (settings, reason) in reasons.items():
        fabricate(tmp_path / name, augs=("none", "ebm"), n_speakers=6, **settings)
        page = write_report([tmp_path / name], tmp_path / f"report-{name}", audio=False).read_text()
        assert "95 % interval over speakers" in page
        assert ("over speakers, not sessions" in page) == bool(reason)
        assert reason in page


def test_noise_curves_and_their_area(outputs: Path, report: Path):
    found = table(report, "noise")
    for aug in ("ebm", "none"):
        levels = {"clean": "clean", **{f"{snr} dB": f"snr{snr}-" for snr in (20, 10, 0)}}
        ua = {}
        for name, condition in levels.items():
            rows = clips(outputs, aug, condition)
            ua[name] = recall_score(rows["label"], rows["prediction"], average="macro")
            assert found.loc[f"aug={aug}", name] == pytest.approx(ua[name])
        area = (ua["0 dB"] + 2 * ua["10 dB"] + ua["20 dB"]) / 4
        assert found.loc[f"aug={aug}", "area"] == pytest.approx(area)


def test_every_section_has_its_files_and_texts(report: Path):
    page = (report / "index.html").read_text()
    headings = re.findall(r"<h3[^>]*>([^<]+)</h3>", page)
    assert headings == [
        *("Leaderboard", "Classes", "Speakers", "Learning curves", "Noise", "Calibration", "Pooled vectors"),
        *("The worst mistakes", "Provenance"),
    ]
    assert "SYNTHETIC corpus" in page.split("</h1>")[1][:300], "loud, and at the top"
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
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page), "nothing comes from elsewhere"


def test_a_report_of_the_same_results_stays_and_another_replaces_it(outputs: Path, report: Path, tmp_path: Path):
    made = (report / "index.html").stat().st_mtime_ns
    assert write_report([outputs], report).stat().st_mtime_ns == made
    fabricate(tmp_path / "outputs", augs=("none",), folds=(0,), n_speakers=12)
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    assert "<audio" not in page
    assert "1 of 3 folds are there" in page
    assert "Only 4 speakers" in page
    fabricate(tmp_path / "outputs", augs=("mixup",), folds=(0,), n_speakers=12)
    assert "aug=mixup" in write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()


def test_what_is_missing_is_said_and_stops_nothing(tmp_path: Path):
    """No curves, no vectors, no sounds, no development part, a speaker without a name, an arm without one fold."""
    results = fabricate(tmp_path / "outputs", augs=("none", "ebm"), sounds=0)
    for folder in results:
        for path in (folder / "embeddings.npy", folder.parent / "curves.csv", folder.parent / "dev_predictions.csv"):
            path.unlink(missing_ok=True)
    rows = pd.read_csv(results[0] / "predictions.csv")
    rows.loc[0, "speaker"] = None
    rows.to_csv(results[0] / "predictions.csv", index=False)
    shutil.rmtree(results[-1])
    notes = sweep(tmp_path / "sweep", {"aug=none": (results[:3], None), "aug=x": ([], "lower optim.lr")})
    page = write_report([tmp_path / "outputs", notes], tmp_path / "report").read_text()
    for words in (
        *("curves.csv are missing", "No embeddings.npy", "No run left the sound", "no temperature is fitted"),
        *("No interval for aug=none: the corpus does not name all speakers", "aug=ebm is incomplete: 1 of 3"),
        *("A job failed: <code>aug=x</code>: lower optim.lr",),
    ):
        assert words in page, words


def test_arms_are_named_by_what_sets_them_apart(tmp_path: Path):
    fabricate(tmp_path, augs=("none", "ebm"), folds=(0,))
    fabricate(tmp_path, augs=("ebm",), folds=(0,), optim__lr=0.5)
    fabricate(tmp_path, augs=("none",), folds=(0,), dataset__name="b", facts={"dataset": "b"})
    found = group_into_studies(load_results([tmp_path]).results)
    assert [study.title.split(",")[0] for study in found] == ["b", "synthetic"]
    names = {arm.name for arm in found[1].arms}
    assert names == {"aug=none", "aug=ebm optim.lr=0.001", "aug=ebm optim.lr=0.5"}


def test_the_order_of_augmentations_makes_two_arms(tmp_path: Path):
    fabricate(tmp_path, augs=("ebm+mixup", "mixup+ebm"), folds=(0,))
    (study,) = group_into_studies(load_results([tmp_path]).results)
    assert [(arm.name, len(arm.results)) for arm in study.arms] == [("aug=ebm+mixup", 1), ("aug=mixup+ebm", 1)]


def test_two_test_corpora_are_two_whole_studies(tmp_path: Path):
    fabricate(tmp_path / "outputs", augs=("none",), tests=("b", "c"))
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    assert page.count("synthetic → ") >= 2
    assert not re.search(r"\bof 2\b", page), "neither a fold that is missing nor a part of the corpus"


def arms_of(folder: Path) -> dict[str, dict[str, int]]:
    """How many results each arm of each study has."""
    return {
        s.title.split(",")[0]: {a.name: len(a.results) for a in s.arms}
        for s in group_into_studies(load_results([folder]).results)
    }


def test_a_test_corpus_counts_once_whatever_is_tested_beside_it(tmp_path: Path):
    alone = fabricate(tmp_path, augs=("none", "ebm"), tests=("b",))
    fabricate(tmp_path, augs=("none", "mixup"), tests=("c", "b"))
    arms = {"aug=none": 1, "aug=ebm": 1, "aug=mixup": 1}
    assert arms_of(tmp_path)["synthetic → b"] == arms
    (study,) = (s for s in group_into_studies(load_results([tmp_path]).results) if "→ b" in s.title)
    assert study.parts() == [("test_b", 0)], "a second place in the list is no second fold"
    one, other = (clips_of(arm.results, study.classes) for arm in study.arms[:2])
    assert set(one["fold"]) == set(other["fold"]) == {"test_b"}, "so clips find their pairs"
    facts = json.loads((alone[0] / "result.json").read_text())
    facts["learned"]["corpora"]["b"] = "other labels"
    (alone[0] / "result.json").write_text(json.dumps(facts))
    assert len(arms_of(tmp_path)["synthetic → b"]) == 4


def test_other_weights_and_corpora_make_another_arm(tmp_path: Path):
    """Whichever folds were run of each; results of schema 3 do not say, and are told apart by their runs."""
    usual = {"weights": "random", "devices": 1, "corpora": {"synthetic": "5a"}}
    fabricate(tmp_path / "a", augs=("none",), folds=(0,), facts={"learned": usual})
    fabricate(tmp_path / "a", augs=("none",), folds=(1, 2), facts={"learned": usual | {"weights": "w"}})
    (arms,) = arms_of(tmp_path / "a").values()
    assert {name.split()[-1]: count for name, count in arms.items()} == {"weights=random": 1, "weights=w": 2}
    schemes = {"speakers3": {"count": 3}}
    fabricate(tmp_path / "a", augs=("none",), folds=(1,), facts={"learned": usual}, dataset__schemes=schemes)
    assert len(next(iter(arms_of(tmp_path / "a").values()))) == 3
    for path in (tmp_path / "a").rglob("result.json"):
        facts = json.loads(path.read_text()) | {"schema": 3}
        del facts["learned"]
        path.write_text(json.dumps(facts))
    (arms,) = arms_of(tmp_path / "a").values()
    assert sorted(arms.values()) == [1, 1, 2]


def test_noises_of_one_name_are_not_mixed(tmp_path: Path):
    """Another seed, another level under the same name, two folders that are both called park."""
    others = ({}, {"seed": 1}, {"snr_db": 7}, *({"source": "park", "recordings": key} for key in ("a1", "b2")))
    for condition in others:
        fabricate(tmp_path / "outputs", augs=("none",), folds=(0,), snrs=(10,), condition=condition)
    (study,) = group_into_studies(load_results([tmp_path / "outputs"]).results)
    (arm,) = study.arms
    conditions = [r.condition for r in arm.results]
    assert len(conditions) == len(set(conditions)) == 6, conditions
    assert {"clean", "snr10-white", "snr10-white-seed1", "snr10-white-7dB"} < set(conditions)
    captions = [table.caption for table in noise_section(study, [arm], tmp_path / "figures", "").tables]
    sources = {caption.partition("noise: ")[2].partition(".")[0] for caption in captions}
    assert len(captions) == len(sources) == 4, "levels of one noise share a table, and nothing else does"


def test_an_arm_that_was_tested_in_noise_only_is_shown_there(tmp_path: Path):
    results = fabricate(tmp_path / "outputs", augs=("none", "ebm"), folds=(0,), snrs=(0, 10))
    shutil.rmtree(next(path for path in results if "-ebm-" in str(path) and path.name == "clean"))
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    assert list(table(tmp_path / "report", "leaderboard").index) == ["aug=none"]
    noise = table(tmp_path / "report", "noise")
    assert list(noise.index) == ["aug=none", "aug=ebm"]
    assert np.isnan(noise.loc["aug=ebm", "clean"])
    assert 0 < noise.loc["aug=ebm", "area"] < 1
    assert "aug=ebm has no result in clean" in page
    assert "only in snr0-white, snr10-white" in page


def test_a_torn_note_is_passed_over_and_said(tmp_path: Path):
    results = fabricate(tmp_path / "outputs", augs=("none",), folds=(0,))
    notes = sweep(tmp_path / "sweep", {"aug=none": (results, None), "aug=x": ([], "lower optim.lr")})
    path = notes / "0/arm.json"
    path.write_text(path.read_text()[:40])
    found = load_results([tmp_path / "outputs", notes])
    assert len(found.results) == 1
    assert found.failed == [("aug=x", "lower optim.lr")]
    (remark,) = found.remarks
    assert "0/arm.json" in remark


def test_mistakes_of_the_user_are_one_line(tmp_path: Path, outputs: Path):
    with pytest.raises(SeenetError, match="no result below"):
        write_report([tmp_path], tmp_path / "report")
    with pytest.raises(SeenetError, match="is not a folder"):
        write_report([tmp_path / "nowhere"], tmp_path / "report")
    with pytest.raises(SeenetError, match="'aug=ebn': no arm has this name; expected one of .*'aug=ebm'"):
        write_report([outputs], tmp_path / "report", baseline="aug=ebn")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("precious")
    with pytest.raises(SeenetError, match="is there and is no report"):
        write_report([outputs], tmp_path / "mine")
    assert (tmp_path / "mine/thesis.tex").read_text() == "precious"
    old = tmp_path / "old/fold0/clean"
    old.mkdir(parents=True)
    (old / "result.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(SeenetError, match="schema 1, .* run the same seenet-train command again"):
        write_report([tmp_path / "old"], tmp_path / "report")


@pytest.mark.parametrize("foreign", ["thesis.tex", "tables/thesis.docx"])
def test_a_report_never_takes_other_files_with_it(tmp_path: Path, foreign: str):
    """Neither from a folder that only looks like a report nor from a report that something was put into."""
    outputs, mine = tmp_path / "outputs", tmp_path / "mine"
    fabricate(outputs, augs=("none",), folds=(0,))
    (mine / foreign).parent.mkdir(parents=True)
    (mine / foreign).write_text("precious")
    (mine / "made_of.txt").write_text("flour and sugar")
    with pytest.raises(SeenetError, match="is there and is no report"):
        write_report([outputs], mine)
    (mine / "made_of.txt").write_text("0123456789ab")
    with pytest.raises(SeenetError, match=f"holds '{foreign}', which no report wrote"):
        write_report([outputs], mine)
    assert (mine / foreign).read_text() == "precious"


def test_the_old_report_stays_until_the_new_one_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fabricate(tmp_path / "outputs", augs=("none",), folds=(0,))
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False)
    old = page.read_text()
    fabricate(tmp_path / "outputs", augs=("mixup",), folds=(0,))
    with monkeypatch.context() as broken, pytest.raises(SeenetError, match="cannot be written .no space"):
        broken.setattr("seenet.reporting.html_report._page", mock.Mock(side_effect=OSError("no space")))
        write_report([tmp_path / "outputs"], tmp_path / "report", audio=False)
    assert page.read_text() == old
    assert "aug=mixup" in write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    assert not list(tmp_path.glob("report.tmp-*"))


def ravdess(**changes) -> dict:
    facts = {
        "dataset": "ravdess", "protocol": "paper", "n_folds": 5, "noise": "clean",
        "classes": ["happy", "neutral", "sad", "angry", "calm", "disgust", "fearful", "surprised"],
        "config": {"dataset": {"folds": "luna5"}}, "corpora": {"ravdess": {"parser": "ravdess"}},
    }  # fmt: skip
    return facts | changes


def test_whether_a_published_figure_compares_is_said_in_words():
    row = published_row(ravdess())
    assert row["ua"] == "80.6"
    assert mismatches(ravdess(), row) == []
    strict = mismatches(ravdess(protocol="strict", n_folds=6, noise="snr5"), row)
    assert [words.split(" here")[0] for words in strict] == [
        *("epoch selected on held-out training speakers", "6 folds", "snr5"),
    ]
    assert "4 classes here, 8 there" in mismatches(ravdess(classes=["happy", "neutral", "sad", "angry"]), row)
    assert published_row(ravdess(dataset="synthetic")) is None


def test_the_published_section(tmp_path: Path):
    eight = ravdess()["classes"]
    paper = {"dataset": "ravdess", "synthetic": False, "protocol": "paper", "selection": "test", "backbone": "wavlm"}
    paper["corpora"] = {"ravdess": {"parser": "ravdess", "clips": 960, "merged": {}, "dropped": {}}}
    settings = {"dataset__name": "ravdess", "dataset__folds": "luna5"}
    made = {"folds": range(5), "n_folds": 5, "classes": eight, "clips": 3, "facts": paper}
    fabricate(tmp_path, augs=("ebm",), **made, **settings)
    page = write_report([tmp_path], tmp_path / "report", audio=False).read_text()
    assert "SYNTHETIC" not in page
    assert "80.6 ± 0.5" in page
    assert "compares: 5 folds, the same classes" in page
    assert "no held-out part is left to fit a temperature on" in page
    methods = pd.read_csv(tmp_path / "report/tables/methods.csv")
    assert len(methods) == 9
    found = pd.read_csv(tmp_path / "report/tables/published.csv").set_index("score")
    ours = table(tmp_path / "report", "leaderboard")["ua"].iloc[0]
    assert found.loc["UA", "difference"] == pytest.approx(ours - 0.806)


def test_the_console_script(seenet_report, tmp_path: Path):
    fabricate(tmp_path / "outputs", augs=("none", "mixup"), folds=(0,))
    options = ("--output", str(tmp_path / "r"), "--baseline", "aug=mixup", "--no-audio")
    done = seenet_report(str(tmp_path / "outputs"), *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "r/index.html")
    assert set(table(tmp_path / "r", "differences")["baseline"]) == {"aug=mixup"}
    wrong = seenet_report(str(tmp_path / "nowhere"))
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("seenet: error: ")
    assert wrong.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["50 % & more", "aug=gaussian_snr", r"a\b{c}", "→ ± × − –", "[1, 2]", "< 0.001"])
def test_latex_escapes(text: str):
    frame = pd.DataFrame({"arm_name": [text], "UA %": ["1"]})
    made = to_latex(Table("t", text, frame, frame))
    body = made.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert not re.search(r"(?<!\\)[%_](?!\\)", body.replace(r"\%", "").replace(r"\_", ""))
    assert r"arm\_name & UA \%" in made


@pytest.mark.slow
@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
def test_the_latex_compiles(report: Path, tmp_path: Path):
    inputs = "\n".join(rf"\input{{{path}}}" for path in sorted((report / "tables").glob("*.tex")))
    preamble = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{textcomp}\usepackage{booktabs}"
    (tmp_path / "doc.tex").write_text(rf"{preamble}\begin{{document}}{inputs}\end{{document}}")
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "doc.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "doc.pdf").stat().st_size > 10_000


def browse(page: Path) -> tuple[str, str]:
    """The document after its scripts ran, and what the browser's console said."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *flags, page.as_uri()], capture_output=True, text=True, timeout=HANG)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_page_in_a_real_browser(report: Path, tmp_path: Path):
    """No word on the console (a request that leaves the page would be one), and tables sort by number."""
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
    document, console = browse(tmp_path / "page.html")
    assert console == ""
    assert 'data-broken="0"' in document
    assert 'data-sorted0="aug=ebm,aug=mixup,aug=none"' in document
    ua = table(report, "leaderboard")["ua_pooled"].sort_values(ascending=False)
    assert f'data-sorted4="{",".join(f"{100 * value:.1f}" for value in ua)}"' in document
    assert re.search(r'data-aria="(none,){8}descending"', document)
    leaking = page.replace("</main>", '<img alt="" src="http://127.0.0.1:9/x.png"></main>')
    (tmp_path / "leaking.html").write_text(leaking)
    assert "127.0.0.1" in browse(tmp_path / "leaking.html")[1], "the check can fail"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("predictions.csv", b"utt", "lacks the column"),
        ("predictions.csv", None, "rows, the test had"),
        ("predictions.csv", b"\xff\xfe\x00", "damaged"),
        ("embeddings.npy", b"xx", "damaged"),
        ("../curves.csv", b"", "damaged"),
    ],
)
def test_report_names_damaged_files_and_does_without_them(tmp_path: Path, capsys, name: str, content, why: str):
    """None cuts the last lines off, which pandas does not notice."""
    fabricate(tmp_path / "outputs", augs=("none", "ebm"), folds=(0,), sounds=0)
    result = next((tmp_path / "outputs").glob("*none*/fold0/clean/result.json"))
    path = result.parent / name
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]) if content is None else content)
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False)
    assert "aug=none" in page.read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert why in printed
    assert path.name in printed


def test_report_leaves_out_a_result_that_lacks_fields(tmp_path: Path):
    fabricate(tmp_path / "outputs", augs=("none", "ebm"), folds=(0,), sounds=0)
    result = next((tmp_path / "outputs").glob("*none*/fold0/clean/result.json"))
    result.write_text(json.dumps({"schema": json.loads(result.read_text())["schema"]}))
    found = load_results([tmp_path / "outputs"])
    assert len(found.results) == 1
    assert any("of another program" in remark for remark in found.remarks)
