"""Studies and arms: which results belong together, and their names."""

import json
import re
from pathlib import Path

from seenet.reporting.arm_metrics import collect_clips
from seenet.reporting.grouping import group_into_studies
from seenet.reporting.html_report import write_report
from seenet.reporting.result_loader import load_results
from seenet.reporting.sections.noise_robustness import build_noise_section
from support.fabricated_results import fabricate_results


def test_arm_names_list_differences(tmp_path: Path):
    fabricate_results(tmp_path, augs=("none", "ebm"), folds=(0,))
    fabricate_results(tmp_path, augs=("ebm",), folds=(0,), optim__lr=0.5)
    fabricate_results(tmp_path, augs=("none",), folds=(0,), dataset__name="b", facts={"dataset": "b"})
    found = group_into_studies(load_results([tmp_path]).results)
    assert [study.title.split(",")[0] for study in found] == ["b", "synthetic"]
    names = {arm.name for arm in found[1].arms}
    assert names == {"aug=none", "aug=ebm optim.lr=0.001", "aug=ebm optim.lr=0.5"}


def test_arms_differ_when_order_of_augmentations_differs(tmp_path: Path):
    fabricate_results(tmp_path, augs=("ebm+mixup", "mixup+ebm"), folds=(0,))
    (study,) = group_into_studies(load_results([tmp_path]).results)
    assert [(arm.name, len(arm.results)) for arm in study.arms] == [("aug=ebm+mixup", 1), ("aug=mixup+ebm", 1)]


def test_test_corpora_are_separate_complete_studies(tmp_path: Path):
    fabricate_results(tmp_path / "outputs", augs=("none",), tests=("b", "c"))
    page = write_report([tmp_path / "outputs"], tmp_path / "report", audio=False).read_text()
    assert page.count("synthetic → ") >= 2
    assert not re.search(r"\bof 2\b", page), "no remark on missing folds or a part of the corpus"


def count_results_by_arm(folder: Path) -> dict[str, dict[str, int]]:
    """Return the number of results of each arm, by study."""
    return {
        s.title.split(",")[0]: {a.name: len(a.results) for a in s.arms}
        for s in group_into_studies(load_results([folder]).results)
    }


def test_test_corpus_counts_once_when_other_test_corpora_differ(tmp_path: Path):
    alone = fabricate_results(tmp_path, augs=("none", "ebm"), tests=("b",))
    fabricate_results(tmp_path, augs=("none", "mixup"), tests=("c", "b"))
    arms = {"aug=none": 1, "aug=ebm": 1, "aug=mixup": 1}
    assert count_results_by_arm(tmp_path)["synthetic → b"] == arms
    (study,) = (s for s in group_into_studies(load_results([tmp_path]).results) if "→ b" in s.title)
    assert study.list_folds_and_seeds() == [("test_b", 0)], "the position in the list is not a second fold"
    one, other = (collect_clips(arm.results, study.classes) for arm in study.arms[:2])
    assert set(one["fold"]) == set(other["fold"]) == {"test_b"}, "clips must have pairs"
    facts = json.loads((alone[0] / "result.json").read_text())
    facts["learned"]["corpora"]["b"] = "other labels"
    (alone[0] / "result.json").write_text(json.dumps(facts))
    assert len(count_results_by_arm(tmp_path)["synthetic → b"]) == 4


def test_arms_differ_when_weights_or_corpora_differ(tmp_path: Path):
    """This holds for any folds; results of schema 3 lack hashes and are separated by run."""
    usual = {"weights": "random", "devices": 1, "corpora": {"synthetic": "5a"}}
    fabricate_results(tmp_path / "a", augs=("none",), folds=(0,), facts={"learned": usual})
    fabricate_results(tmp_path / "a", augs=("none",), folds=(1, 2), facts={"learned": usual | {"weights": "w"}})
    (arms,) = count_results_by_arm(tmp_path / "a").values()
    assert {name.split()[-1]: count for name, count in arms.items()} == {"weights=random": 1, "weights=w": 2}
    schemes = {"speakers3": {"count": 3}}
    fabricate_results(tmp_path / "a", augs=("none",), folds=(1,), facts={"learned": usual}, dataset__schemes=schemes)
    assert len(next(iter(count_results_by_arm(tmp_path / "a").values()))) == 3
    for path in (tmp_path / "a").rglob("result.json"):
        facts = json.loads(path.read_text()) | {"schema": 3}
        del facts["learned"]
        path.write_text(json.dumps(facts))
    (arms,) = count_results_by_arm(tmp_path / "a").values()
    assert sorted(arms.values()) == [1, 1, 2]


def test_noise_settings_with_one_name_stay_separate(tmp_path: Path):
    """Cases: another seed, another level under the same name, and two folders named park."""
    others = ({}, {"seed": 1}, {"snr_db": 7}, *({"source": "park", "recordings": key} for key in ("a1", "b2")))
    for condition in others:
        fabricate_results(tmp_path / "outputs", augs=("none",), folds=(0,), snrs=(10,), condition=condition)
    (study,) = group_into_studies(load_results([tmp_path / "outputs"]).results)
    (arm,) = study.arms
    conditions = [r.condition for r in arm.results]
    assert len(conditions) == len(set(conditions)) == 6, conditions
    assert {"clean", "snr10-white", "snr10-white-seed1", "snr10-white-7dB"} < set(conditions)
    captions = [table.caption for table in build_noise_section(study, [arm], tmp_path / "figures", "").tables]
    sources = {caption.partition("noise: ")[2].partition(".")[0] for caption in captions}
    assert len(captions) == len(sources) == 4, "only levels of one noise share a table"
