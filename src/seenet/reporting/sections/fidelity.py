"""Where a result differs from the paper and its published code (Li et al. 2025), from its own configuration."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.grouping import Study
from seenet.reporting.published_results import FOLDS, published_row
from seenet.reporting.result_loader import is_cross_corpus

BATCH = 64
"""Clips a batch and process in the original."""

PROCESSES = 4
"""Processes that the original's README starts; its code needs at least two."""

BASELINES = ("mixup", "gaussian_snr", "speed", "pitch")
"""Augmentations that EBM is compared with."""

EPOCHS = {
    # augmentation, auxiliary task: epochs of the experiments with such an arm
    ("ebm", "see"): (15,),  # main table, noise immunity
    ("none", "none"): (15, 30, 40),  # noise immunity; backbones and auxiliary tasks; augmentations
    ("none", "see"): (15, 30),
    ("ebm", "none"): (15, 40),
    **{("none", task): (30,) for task in ("gender", "speaker")},
    **{(aug, "none"): (40,) for aug in BASELINES},
}
CROSS_CORPUS_EPOCHS = (40,)

MERGE = {"excited": "happy"}
"""What the paper merges in IEMOCAP."""

DROPOUTS = (
    *("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"),
    *("mask_time_prob", "mask_feature_prob"),
)
"""Settings of a backbone that the checkpoint decides in the paper."""

SAME_IN_THE_PAPER: Mapping[str, tuple[Any, str]] = {
    # setting: the paper's value, what it is
    "data.balanced": (True, "clips drawn with weight 1 / class count"),
    "data.bucketed": (False, "batches of clips of like length"),
    "data.max_seconds": (6, "seconds kept of a clip"),
    "backbone.normalize": (False, "zero mean, unit variance of each clip"),
    "backbone.freeze_feature_encoder": (True, "frozen convolutional feature encoder"),
    "backbone.freeze": (False, "frozen backbone"),
    "optim.weight_decay": (1e-5, "weight decay"),
    "trainer.gradient_clip_val": (None, "gradient clipping"),
    "aux_task.weight": (0.01, "weight of the auxiliary task"),
    "aux_task.width": (256, "width of an expert's embedding"),
    "aug.ebm.ratio_db": ([-5, 5], "energy ratio of EBM, dB"),
    "aug.mixup.max_ratio": (0.3, "largest share of the partner in mixup"),
    "aug.gaussian_snr.snr_db": ([0, 20], "level of the Gaussian noise, dB"),
    "aug.speed.rate": ([0.9, 1.1], "rate of speed"),
    "aug.pitch.semitones": ([-4, 4], "semitones of pitch"),
    **{
        f"aug.{name}.probability": (0.5, f"probability of {name}")
        for name in ("mixup", "gaussian_snr", "speed", "pitch")
    },
}


@dataclass(frozen=True)
class Deviation:
    """One difference from the paper.

    Attributes:
        topic: what differs.
        here: how this result was made.
        paper: how the paper or its code does it.
    """

    topic: str
    here: str
    paper: str


def is_comparable_to_paper(facts: Mapping[str, Any]) -> bool:
    """Whether a reader may compare a result with the paper: its protocol was taken, or it tells of the corpus."""
    return facts["protocol"] == "paper" or published_row(facts) is not None


def _setting(config: Mapping[str, Any], name: str, default: Any = None) -> Any:
    node: Any = config
    for key in name.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return default
        node = node[key]
    return node


def _shown(value: Any) -> str:
    return {True: "yes", False: "no", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("es" if number > 1 else "")


def deviations(facts: Mapping[str, Any]) -> list[Deviation]:
    """Every known difference between a result and the paper or its code.

    Args:
        facts: what result.json holds; settings that older results do not record are passed over.
    """
    rows = (_corpus, _selection, _steps, _optimiser, _settings, _partners, _backbone, _pooling, _noise, _numerics)
    return [deviation for find in rows for deviation in find(facts, facts["config"])]


def _corpus(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    trained_on = facts["dataset"].partition("_to_")[0] if is_cross_corpus(facts) else facts["dataset"]
    dataset, folds = config["dataset"], f"{facts['n_folds']} folds ({config['dataset'].get('folds')})"
    if trained_on not in ("iemocap", "msp_improv", "ravdess"):
        yield Deviation("corpus", trained_on, "IEMOCAP, MSP-IMPROV or RAVDESS")
    elif is_cross_corpus(facts):
        if len(facts["classes"]) != 4:
            yield Deviation("classes", ", ".join(facts["classes"]), "4 that the corpora share")
    else:
        row = published_row(facts)
        if row and int(row["classes"]) != len(facts["classes"]):
            yield Deviation("classes", f"{len(facts['classes'])}", row["classes"])
        if trained_on == "msp_improv":
            yield Deviation("folds", folds, "the table says 5 folds of 6 sessions; the code does not settle which")
        elif trained_on == "ravdess":
            yield Deviation(
                "folds", folds, f"{FOLDS} speaker-independent folds; which actors each tests is not compared"
            )
        elif (facts["n_folds"], dataset.get("folds")) != (FOLDS, "leave_one_session_out"):
            yield Deviation("folds", folds, f"{FOLDS} folds, one session each")
    if trained_on == "iemocap" and _setting(config, "dataset.merge", MERGE) != MERGE:
        yield Deviation("excited", "not counted as happy", "counted as happy")
    if trained_on == "iemocap" and facts["aux_task"] == "speaker":
        yield Deviation("speakers of IEMOCAP", "who speaks", "read from the wrong part of the clips' names")
    if facts["bad_files"]["count"]:
        yield Deviation("audio files", f"{facts['bad_files']['count']} left out as unusable", "all")


def _selection(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    if facts["selection"] != "test":
        yield Deviation("epoch selected on", "held-out training speakers", "the test fold")


def _steps(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    batch, parts = _setting(config, "data.batch_size"), _setting(config, "trainer.accumulate_grad_batches", 1)
    processes = facts["learned"]["devices"] if "learned" in facts else None
    if isinstance(batch, int) and isinstance(processes, int):
        clips = batch * parts * processes
        here = f"{clips} = {batch} clips × {_counted(parts, 'batch')} × {_counted(processes, 'process')}"
        if clips != BATCH * PROCESSES:
            least = 2 * BATCH
            yield Deviation("clips an optimiser step", here, f"{BATCH * PROCESSES}, or {least} with two processes")
        elif processes != PROCESSES:
            yield Deviation("processes", here, f"{PROCESSES} processes × {BATCH} clips; the code needs at least two")
    if isinstance(batch, int) and batch != BATCH:
        mined = "; SEE mines its negatives among them" if facts["aux_task"] == "see" else ""
        yield Deviation("clips a batch", f"{batch}{mined}", f"{BATCH}")
    epochs = _setting(config, "trainer.max_epochs")
    known = CROSS_CORPUS_EPOCHS if is_cross_corpus(facts) else EPOCHS.get((facts["aug"], facts["aux_task"]))
    if known is None:
        yield Deviation("experiment", f"aug={facts['aug']}, aux_task={facts['aux_task']}", "no such arm")
    elif epochs not in (None, *known):
        yield Deviation("epochs", str(epochs), " or ".join(map(str, known)))


def _optimiser(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    kind = _setting(config, "optim._target_", "torch.optim.AdamW")
    if kind != "torch.optim.AdamW":
        yield Deviation("optimiser", kind, "AdamW")
    lr, wanted = _setting(config, "optim.lr"), 1e-5 if _setting(config, "backbone.family") == "data2vec-audio" else 1e-4
    if lr not in (None, wanted):
        yield Deviation("learning rate", str(lr), str(wanted))


def _settings(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    for name, (wanted, what) in SAME_IN_THE_PAPER.items():
        value = _setting(config, name, wanted)
        if value != wanted:
            yield Deviation(f"{what} ({name})", _shown(value), _shown(wanted))
    for name in DROPOUTS:
        value = _setting(config, f"backbone.{name}")
        if value is not None:
            yield Deviation(f"backbone.{name}", str(value), "as the checkpoint says")


def _partners(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    augmentations = facts["aug"].split("+")
    if not {"ebm", "mixup"} & set(augmentations):
        return
    how = _setting(config, "data.partner")
    if facts["dataset"].startswith("msp_improv") or is_cross_corpus(facts) or facts["noise"] != "clean":
        if how == "uniform":
            yield Deviation("partners drawn", how, "class_first")
    elif how == "class_first":
        yield Deviation("partners drawn", how, "uniform; class_first in its noise experiment alone")
    if "ebm" in augmentations:
        seconds = _setting(config, "data.max_seconds", 6)
        yield Deviation("EBM's partner", f"its first {seconds:g} s, as of every clip", "the whole clip, however long")
    yield Deviation(
        "sampling rate of partners", "16 kHz", "as on disk: a partner of 48 kHz is mixed in three times too slow"
    )


def _backbone(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    backbone = config["backbone"]
    checkpoint, path = backbone.get("checkpoint"), backbone.get("path")
    if path is not None:
        yield Deviation("weights", f"a local folder ({path}), whose origin is not checked", "a large public checkpoint")
    elif checkpoint is None:
        yield Deviation("weights", "random", "a large public checkpoint")
    elif "large" not in checkpoint:
        yield Deviation("weights", checkpoint, "a large public checkpoint")
    elif backbone.get("family") == "wav2vec2":
        yield Deviation(
            "weights", checkpoint, "wav2vec2-large: plain, lv60 or robust, which code and paper do not settle"
        )
    if backbone.get("family") == "data2vec-audio":
        yield Deviation("data2vec's class", "its own", "wav2vec 2.0's, into which data2vec's weights are loaded")


def _pooling(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    disagree = "attention in the paper's text, the mean as the default of its code"
    yield Deviation("pooling", facts["pooling"], disagree)


def _noise(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    if facts["noise"] == "clean":
        return
    chosen = "the test fold" if facts["selection"] == "test" else "held-out training speakers"
    here = f"selected once, on clean speech of {chosen}"
    yield Deviation("epoch for tests in noise", here, "selected anew at each level, on noisy speech")
    source = facts["condition"].get("source", "noise")
    yield Deviation(
        "noise", f"{source}, at a speech-to-noise ratio", "a corpus that it does not name; dB against the noise clip"
    )


def _numerics(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    if facts["precision"] != "16-mixed":
        yield Deviation("precision", facts["precision"], "16-mixed (fp16)")
    yield Deviation("random seeds", "fixed", "switched off")


def fidelity_section(study: Study, arms: Sequence[ArmMetrics], prefix: str) -> Section | None:
    """List the differences from the paper, each with the arms that have it; None where nobody compares."""
    results = [result for arm in arms for result in arm.arm.results if is_comparable_to_paper(result.facts)]
    if not results:
        return None
    holders: dict[Deviation, dict[str, None]] = {}
    for arm in arms:
        for result in arm.arm.results:
            for deviation in deviations(result.facts):
                holders.setdefault(deviation, {})[arm.arm.name] = None
    rows = []
    for deviation, names in holders.items():
        which = "all" if len(names) == len(arms) else ", ".join(names)
        rows.append(
            {"topic": deviation.topic, "here": deviation.here, "paper or its code": deviation.paper, "arms": which}
        )
    frame = pd.DataFrame(rows).drop(columns=["arms"] if len(arms) == 1 else [])
    notes = [
        "Where these results differ from the paper and its published code, as far as both are known; read from the "
        "configuration of each run."
    ]
    if study.first["selection"] == "test":
        notes.append("As in the paper the epoch was selected on the test fold itself: both figures are optimistic.")
    caption = "Differences from the paper (Li et al. 2025) and its code."
    return Section("Fidelity to the paper", notes, (), [Table(f"{prefix}fidelity", caption, frame, frame, prose=True)])
