"""Numbers and texts of the sections, compared with computations from predictions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import recall_score

from seenet.reporting.html_report import write_report
from seenet.reporting.published_results import list_mismatches, published_row
from support.fabricated_results import fabricate_results, read_report_table, write_sweep_records


def read_clips(outputs: Path, aug: str, condition: str = "clean") -> pd.DataFrame:
    """Return every test clip of an arm."""
    paths = outputs.glob(f"*-wavlm_tiny-{aug}-*/fold*/{condition}*/predictions.csv")
    return pd.concat(pd.read_csv(path).assign(run=str(path)) for path in sorted(paths))


def test_leaderboard_matches_scores_of_predictions(outputs: Path, report: Path):
    found = read_report_table(report, "leaderboard")
    assert list(found.index) == ["aug=ebm", "aug=mixup", "aug=none"], "highest UA first"
    for aug in ("ebm", "mixup", "none"):
        row, rows = found.loc[f"aug={aug}"], read_clips(outputs, aug)
        each = [recall_score(r["label"], r["prediction"], average="macro") for _, r in rows.groupby("run")]
        assert (row["folds"], row["seeds"], row["test_clips"], len(each)) == (3, 2, 1920, 6)
        assert row["ua"] == pytest.approx(np.mean(each))
        assert row["ua_std"] == pytest.approx(np.std(each, ddof=1))
        pooled = recall_score(rows["label"], rows["prediction"], average="macro")
        assert row["ua_pooled"] == pytest.approx(pooled)
        assert row["ua_low"] < pooled < row["ua_high"]


def test_differences_are_paired_with_baseline(report: Path):
    found, ranks = read_report_table(report, "differences"), read_report_table(report, "leaderboard")["ua_pooled"]
    assert list(found.index) == ["aug=ebm", "aug=mixup"]
    assert set(found["baseline"]) == {"aug=none"}
    for arm, row in found.iterrows():
        assert row["difference"] == pytest.approx(ranks[arm] - ranks["aug=none"])
        assert row["low"] < row["difference"] < row["high"]
        assert row["p"] <= row["p_holm"] <= 2 * row["p"]
        assert (row["clips"], row["left_out"]) == (1920, 0)
    page = (report / "index.html").read_text()
    assert f"+{100 * found.loc['aug=ebm', 'difference']:.1f}" in page


def test_clusters_are_sessions_when_speakers_share_them(tmp_path: Path):
    """The interval is a jackknife over 3 sessions of two speakers, and p is at least 1/4."""
    made = {"augs": ("none", "ebm"), "n_speakers": 6, "snrs": (10,)}
    fabricate_results(tmp_path / "outputs", sessions=True, facts={"audit": {"verdict": "clean", "session": 0}}, **made)
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    for text in (
        "with a 95 % interval over sessions.",
        "permutation test that swaps the predictions of complete sessions",
        "95 % intervals over sessions",
        "Intervals and tests are over sessions: the speakers of a session are taken together.",
        "Only 3 sessions: p cannot be below 0.25.",
    ):
        assert text in page, text
    rows = read_clips(tmp_path / "outputs", "ebm")
    assert rows.groupby("session")["speaker"].nunique().tolist() == [2, 2, 2]

    def ua(rows: pd.DataFrame) -> float:
        return recall_score(rows["label"], rows["prediction"], average="macro")

    without = [ua(rows[rows["session"] != name]) for name in rows["session"].unique()]
    reach = stats.t.ppf(0.975, 2) * np.std(without) * np.sqrt(2)
    row = read_report_table(tmp_path / "report", "leaderboard").loc["aug=ebm"]
    assert (row["ua_low"], row["ua_high"]) == pytest.approx((ua(rows) - reach, min(ua(rows) + reach, 1)))
    assert read_report_table(tmp_path / "report", "differences").loc["aug=ebm", "p"] >= 0.25


def test_clusters_are_speakers_when_sessions_are_unusable(tmp_path: Path):
    """The page gives the reason if a corpus has sessions but the clusters are speakers."""
    known = {"audit": {"verdict": "clean", "session": 0}}
    reasons = {
        "none": ({}, ""),
        "older": ({"sessions": None, "facts": known}, "results of an older version do not record sessions"),
        "shared": ({"sessions": True, "facts": known, "folds": (0,)}, "all speakers share one session"),
        "unknown": ({"sessions": None}, ""),
    }
    for name, (settings, reason) in reasons.items():
        fabricate_results(tmp_path / name, augs=("none", "ebm"), n_speakers=6, **settings)
        page = write_report([tmp_path / name], tmp_path / f"report-{name}", audio=False).read_text()
        assert "95 % interval over speakers" in page
        assert ("over speakers, not sessions" in page) == bool(reason)
        assert reason in page


def test_noise_section_matches_scores_and_area_of_predictions(outputs: Path, report: Path):
    found = read_report_table(report, "noise")
    for aug in ("ebm", "none"):
        levels = {"clean": "clean", **{f"{snr} dB": f"snr{snr}-" for snr in (20, 10, 0)}}
        ua = {}
        for name, condition in levels.items():
            rows = read_clips(outputs, aug, condition)
            ua[name] = recall_score(rows["label"], rows["prediction"], average="macro")
            assert found.loc[f"aug={aug}", name] == pytest.approx(ua[name])
        area = (ua["0 dB"] + 2 * ua["10 dB"] + ua["20 dB"]) / 4
        assert found.loc[f"aug={aug}", "area"] == pytest.approx(area)


def test_noise_section_shows_arms_without_clean_test(tmp_path: Path):
    results = fabricate_results(tmp_path / "outputs", augs=("none", "ebm"), folds=(0,), snrs=(0, 10))
    shutil.rmtree(next(path for path in results if "-ebm-" in str(path) and path.name == "clean"))
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    assert list(read_report_table(tmp_path / "report", "leaderboard").index) == ["aug=none"]
    noise = read_report_table(tmp_path / "report", "noise")
    assert list(noise.index) == ["aug=none", "aug=ebm"]
    assert np.isnan(noise.loc["aug=ebm", "clean"])
    assert 0 < noise.loc["aug=ebm", "area"] < 1
    assert "aug=ebm has no result in clean" in page
    assert "only in snr0-white, snr10-white" in page


def test_report_names_missing_files_and_continues(tmp_path: Path):
    """Curves, embeddings, audio, development predictions, a speaker name and a fold are missing."""
    results = fabricate_results(tmp_path / "outputs", augs=("none", "ebm"), sounds=0)
    for folder in results:
        for path in (folder / "embeddings.npy", folder.parent / "curves.csv", folder.parent / "dev_predictions.csv"):
            path.unlink(missing_ok=True)
    rows = pd.read_csv(results[0] / "predictions.csv")
    rows.loc[0, "speaker"] = None
    rows.to_csv(results[0] / "predictions.csv", index=False)
    shutil.rmtree(results[-1])
    records = write_sweep_records(
        tmp_path / "sweep", {"aug=none": (results[:3], None), "aug=x": ([], "lower optim.lr")}
    )
    page = write_report([tmp_path / "outputs", records], tmp_path / "report").read_text()
    for text in (
        *("curves.csv are missing", "lack embeddings.npy", "No run saved audio", "no temperature is fitted"),
        *("No interval for aug=none: the corpus does not name all speakers", "aug=ebm is incomplete: 1 of 3"),
        *("A job failed: <code>aug=x</code>: lower optim.lr",),
    ):
        assert text in page, text


def write_layer_weights(results: list[Path], layers: list[int], weights: list[list[float]]):
    """Record learned weights in results; results without an entry stay as older versions wrote them."""
    for folder, of_training in zip(results, weights, strict=False):
        facts = json.loads((folder / "result.json").read_text())
        facts["layer_weights"] = {"layers": layers, "weights": of_training}
        (folder / "result.json").write_text(json.dumps(facts))


def test_layer_weights_section_summarises_trainings(tmp_path: Path):
    """Noisy tests of a training do not count twice, and results of older versions are left out."""
    made = {"n_speakers": 6, "clips": 2, "sounds": 0, "snrs": (10,)}
    ebm, none, _ = (fabricate_results(tmp_path / "outputs", augs=(aug,), **made) for aug in ("ebm", "none", "mixup"))
    learned = [[0.2, 0.1, 0.7], [0.2, 0.3, 0.5], [0.2, 0.2, 0.6]]
    write_layer_weights(ebm, [0, 1, 4], [weights for weights in learned for _ in ("clean", "snr10")])
    write_layer_weights(none, [0, 1], [[0.502, 0.498]] * 2)
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    found = read_report_table(tmp_path / "report", "layer_weights")
    assert set(found.index) == {"aug=ebm", "aug=none"}
    table = found.loc["aug=ebm"].set_index("layer")
    assert list(table.index) == [0, 1, 4]
    np.testing.assert_allclose(table["mean"], np.mean(learned, axis=0))
    np.testing.assert_allclose(table["lowest"], np.min(learned, axis=0))
    np.testing.assert_allclose(table["highest"], np.max(learned, axis=0))
    assert set(table["trainings"]) == {3}
    assert set(found.loc["aug=none", "trainings"]) == {1}
    assert "aug=none: training hardly changed the weights" in page
    assert "aug=ebm: training hardly" not in page
    assert (tmp_path / "report/figures/layer_weights.png").is_file()


def test_layer_weights_section_is_absent_without_learned_weights(tmp_path: Path):
    fabricate_results(tmp_path / "outputs", augs=("none",), folds=(0,), facts={"layer_weights": None})
    fabricate_results(tmp_path / "outputs", augs=("ebm",), folds=(0,))  # an older version
    assert "Layer weights" not in write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()


def make_ravdess_facts(**changes) -> dict:
    """Return fields of result.json that are comparable with the published figure."""
    facts = {
        "dataset": "ravdess", "protocol": "paper", "n_folds": 5, "noise": "clean",
        "classes": ["happy", "neutral", "sad", "angry", "calm", "disgust", "fearful", "surprised"],
        "config": {"dataset": {"folds": "luna5"}}, "corpora": {"ravdess": {"parser": "ravdess"}},
    }  # fmt: skip
    return facts | changes


def test_list_mismatches_gives_reasons():
    row = published_row(make_ravdess_facts())
    assert row["ua"] == "80.6"
    assert list_mismatches(make_ravdess_facts(), row) == []
    strict = list_mismatches(make_ravdess_facts(protocol="strict", n_folds=6, noise="snr5"), row)
    assert [reason.split(" here")[0] for reason in strict] == [
        *("epoch selected on held-out training speakers", "6 folds", "snr5"),
    ]
    assert "4 classes here, 8 there" in list_mismatches(
        make_ravdess_facts(classes=["happy", "neutral", "sad", "angry"]), row
    )
    assert published_row(make_ravdess_facts(dataset="synthetic")) is None


def test_published_section_compares_with_paper(tmp_path: Path):
    eight = make_ravdess_facts()["classes"]
    paper = {"dataset": "ravdess", "synthetic": False, "protocol": "paper", "selection": "test", "backbone": "wavlm"}
    paper["corpora"] = {"ravdess": {"parser": "ravdess", "clips": 960, "merged": {}, "dropped": {}}}
    settings = {"dataset__name": "ravdess", "dataset__folds": "luna5"}
    made = {"folds": range(5), "n_folds": 5, "classes": eight, "clips": 3, "facts": paper}
    fabricate_results(tmp_path, augs=("ebm",), **made, **settings)
    page = write_report([tmp_path], tmp_path / "report", audio=False).read_text()
    assert "SYNTHETIC" not in page
    assert "80.6 ± 0.5" in page
    assert "is comparable: 5 folds, the same classes" in page
    assert "no held-out part is available to fit a temperature" in page
    methods = pd.read_csv(tmp_path / "report/tables/methods.csv")
    assert len(methods) == 9
    found = pd.read_csv(tmp_path / "report/tables/published.csv").set_index("score")
    ours = read_report_table(tmp_path / "report", "leaderboard")["ua"].iloc[0]
    assert found.loc["UA", "difference"] == pytest.approx(ours - 0.806)
