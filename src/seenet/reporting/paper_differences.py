"""Differences between a result and the paper (Li et al. 2025) or its code."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seenet.reporting.published_results import PUBLISHED_FOLD_COUNT, published_row
from seenet.reporting.result_loader import is_cross_corpus

PAPER_BATCH_SIZE = 64
"""Clips per batch and process in the original code."""

PAPER_PROCESSES = 4
"""Processes in the README of the original code, which needs at least two."""

BASELINE_AUGMENTATIONS = ("mixup", "gaussian_snr", "speed", "pitch")
"""Augmentations that the paper compares with EBM."""

PAPER_EPOCHS = {
    # (augmentation, auxiliary task): epochs of the experiments with this arm
    ("ebm", "see"): (15,),  # main table, noise immunity
    ("none", "none"): (15, 30, 40),  # noise immunity; backbones and auxiliary tasks; augmentations
    ("none", "see"): (15, 30),
    ("ebm", "none"): (15, 40),
    **{("none", task): (30,) for task in ("gender", "speaker")},
    **{(aug, "none"): (40,) for aug in BASELINE_AUGMENTATIONS},
}
PAPER_CROSS_CORPUS_EPOCHS = (40,)

PAPER_MERGE = {"excited": "happy"}
"""Labels of IEMOCAP that the paper merges."""

CHECKPOINT_SETTINGS = (
    *("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"),
    *("mask_time_prob", "mask_feature_prob"),
)
"""Settings of a backbone that the paper takes from the checkpoint."""

PAPER_SETTINGS: Mapping[str, tuple[Any, str]] = {
    # setting: (value in the paper, description)
    "data.balanced": (True, "clips drawn with weight 1 / class count"),
    "data.bucketed": (False, "batches of clips of similar length"),
    "data.max_seconds": (6, "seconds kept of each clip"),
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
        topic: the name of the setting or step.
        here: the value of this result.
        paper: the value of the paper or its code.
    """

    topic: str
    here: str
    paper: str


def is_comparable_to_paper(facts: Mapping[str, Any]) -> bool:
    """Return whether a result has the protocol of the paper or a corpus with published figures."""
    return facts["protocol"] == "paper" or published_row(facts) is not None


def _read_setting(config: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return the setting with a dotted name, or a default if it is missing."""
    node: Any = config
    for key in name.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return default
        node = node[key]
    return node


def _format_value(value: Any) -> str:
    return {True: "yes", False: "no", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("es" if number > 1 else "")


def _compare_corpus(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    trained_on = facts["dataset"].partition("_to_")[0] if is_cross_corpus(facts) else facts["dataset"]
    dataset, folds = config["dataset"], f"{facts['n_folds']} folds ({config['dataset'].get('folds')})"
    if trained_on not in ("iemocap", "msp_improv", "ravdess"):
        yield Deviation("corpus", trained_on, "IEMOCAP, MSP-IMPROV or RAVDESS")
    elif is_cross_corpus(facts):
        if len(facts["classes"]) != 4:
            yield Deviation("classes", ", ".join(facts["classes"]), "the 4 that the corpora share")
    else:
        row = published_row(facts)
        if row and int(row["classes"]) != len(facts["classes"]):
            yield Deviation("classes", f"{len(facts['classes'])}", row["classes"])
        if trained_on == "msp_improv":
            yield Deviation("folds", folds, "5 folds of 6 sessions in the table; the code does not determine which")
        elif trained_on == "ravdess":
            paper = f"{PUBLISHED_FOLD_COUNT} speaker-independent folds; the actors of each fold are not compared"
            yield Deviation("folds", folds, paper)
        elif (facts["n_folds"], dataset.get("folds")) != (PUBLISHED_FOLD_COUNT, "leave_one_session_out"):
            yield Deviation("folds", folds, f"{PUBLISHED_FOLD_COUNT} folds, one session each")
    if trained_on == "iemocap" and _read_setting(config, "dataset.merge", PAPER_MERGE) != PAPER_MERGE:
        yield Deviation("excited", "not counted as happy", "counted as happy")
    if trained_on == "iemocap" and facts["aux_task"] == "speaker":
        yield Deviation("speakers of IEMOCAP", "the person who speaks", "read from the wrong part of the file names")
    if facts["bad_files"]["count"]:
        yield Deviation("audio files", f"{facts['bad_files']['count']} left out as unusable", "all")


def _compare_selection(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    if facts["selection"] != "test":
        yield Deviation("epoch selected on", "held-out training speakers", "the test fold")


def _compare_steps(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    batch, parts = _read_setting(config, "data.batch_size"), _read_setting(config, "trainer.accumulate_grad_batches", 1)
    processes = facts["learned"]["devices"] if "learned" in facts else None
    if isinstance(batch, int) and isinstance(processes, int):
        clips = batch * parts * processes
        here = f"{clips} = {batch} clips × {_format_count(parts, 'batch')} × {_format_count(processes, 'process')}"
        if clips != PAPER_BATCH_SIZE * PAPER_PROCESSES:
            most, least = PAPER_BATCH_SIZE * PAPER_PROCESSES, PAPER_BATCH_SIZE * 2
            yield Deviation("clips per optimiser step", here, f"{most}, or {least} with two processes")
        elif processes != PAPER_PROCESSES:
            paper = f"{PAPER_PROCESSES} processes × {PAPER_BATCH_SIZE} clips; the code needs at least two"
            yield Deviation("processes", here, paper)
    if isinstance(batch, int) and batch != PAPER_BATCH_SIZE:
        mining = "; SEE mines its negatives within a batch" if facts["aux_task"] == "see" else ""
        yield Deviation("clips per batch", f"{batch}{mining}", f"{PAPER_BATCH_SIZE}")
    epochs = _read_setting(config, "trainer.max_epochs")
    known = PAPER_CROSS_CORPUS_EPOCHS if is_cross_corpus(facts) else PAPER_EPOCHS.get((facts["aug"], facts["aux_task"]))
    if known is None:
        yield Deviation("experiment", f"aug={facts['aug']}, aux_task={facts['aux_task']}", "no such arm")
    elif epochs not in (None, *known):
        yield Deviation("epochs", str(epochs), " or ".join(map(str, known)))


def _compare_optimiser(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    kind = _read_setting(config, "optim._target_", "torch.optim.AdamW")
    if kind != "torch.optim.AdamW":
        yield Deviation("optimiser", kind, "AdamW")
    lr = _read_setting(config, "optim.lr")
    expected = 1e-5 if _read_setting(config, "backbone.family") == "data2vec-audio" else 1e-4
    if lr not in (None, expected):
        yield Deviation("learning rate", str(lr), str(expected))


def _compare_settings(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    for name, (expected, description) in PAPER_SETTINGS.items():
        value = _read_setting(config, name, expected)
        if value != expected:
            yield Deviation(f"{description} ({name})", _format_value(value), _format_value(expected))
    for name in CHECKPOINT_SETTINGS:
        value = _read_setting(config, f"backbone.{name}")
        if value is not None:
            yield Deviation(f"backbone.{name}", str(value), "as in the checkpoint")


def _compare_partners(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    augmentations = facts["aug"].split("+")
    if not {"ebm", "mixup"} & set(augmentations):
        return
    partner = _read_setting(config, "data.partner")
    if facts["dataset"].startswith("msp_improv") or is_cross_corpus(facts) or facts["noise"] != "clean":
        if partner == "uniform":
            yield Deviation("sampling of partners", partner, "class_first")
    elif partner == "class_first":
        yield Deviation("sampling of partners", partner, "uniform; class_first only in the noise experiment")
    if "ebm" in augmentations:
        seconds = _read_setting(config, "data.max_seconds", 6)
        here = f"its first {seconds:g} s, as for every clip"
        yield Deviation("partner of EBM", here, "the complete clip of any length")
    yield Deviation(
        "sampling rate of partners", "16 kHz", "as on disk: a partner of 48 kHz plays three times too slowly"
    )


def _compare_backbone(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    backbone = config["backbone"]
    checkpoint, path = backbone.get("checkpoint"), backbone.get("path")
    if path is not None:
        yield Deviation("weights", f"a local folder ({path}) of unchecked origin", "a large public checkpoint")
    elif checkpoint is None:
        yield Deviation("weights", "random", "a large public checkpoint")
    elif "large" not in checkpoint:
        yield Deviation("weights", checkpoint, "a large public checkpoint")
    elif backbone.get("family") == "wav2vec2":
        yield Deviation(
            "weights", checkpoint, "wav2vec2-large: plain, lv60 or robust; code and paper do not determine which"
        )
    if backbone.get("family") == "data2vec-audio":
        yield Deviation("model class of data2vec", "data2vec", "wav2vec 2.0, with the weights of data2vec")


def _compare_pooling(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    paper = "attention in the text of the paper, mean as the default of its code"
    yield Deviation("pooling", facts["pooling"], paper)


def _compare_noise(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    if facts["noise"] == "clean":
        return
    part = "the test fold" if facts["selection"] == "test" else "held-out training speakers"
    here = f"selected once, on clean speech of {part}"
    yield Deviation("epoch for tests in noise", here, "selected separately at each level, on noisy speech")
    source = facts["condition"].get("source", "noise")
    yield Deviation(
        "noise", f"{source}, at a speech-to-noise ratio", "an unnamed corpus; dB relative to the noise clip"
    )


def _compare_numerics(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Deviation]:
    if facts["precision"] != "16-mixed":
        yield Deviation("precision", facts["precision"], "16-mixed (fp16)")
    yield Deviation("random seeds", "fixed", "not fixed")


COMPARISONS: tuple[Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[Deviation]], ...] = (
    _compare_corpus,
    _compare_selection,
    _compare_steps,
    _compare_optimiser,
    _compare_settings,
    _compare_partners,
    _compare_backbone,
    _compare_pooling,
    _compare_noise,
    _compare_numerics,
)
"""Functions that find the differences in one area each, in the order of the table."""


def find_deviations(facts: Mapping[str, Any]) -> list[Deviation]:
    """Return every known difference between a result and the paper or its code.

    Args:
        facts: the content of result.json; settings that older results lack are skipped.
    """
    config = facts["config"]
    return [deviation for compare in COMPARISONS for deviation in compare(facts, config)]
