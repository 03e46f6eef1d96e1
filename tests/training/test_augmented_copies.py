"""`aug.copies`: random copies of training clips that are drawn once, with cached features."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seenet.core.errors import SeenetError
from seenet.data.batch import Batch
from seenet.data.conditions.augmented_copy import AugmentedCopy
from seenet.features.extraction import FeatureExtractor, read_batch
from seenet.features.hidden_states import HiddenStates
from seenet.models.heads.logistic import LogisticHead
from seenet.training.cached_parts import make_copies
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner
from seenet.training.run import run_experiment

TINY = ("backbone=wavlm_tiny", "tune=none", "dataset.speakers=6", "dataset.clips=2", "aug=ebm", "aug.copies=2")
GRADIENT = ("head=linear", "pooling=attention", "aux_task=see", "trainer.max_epochs=2", "data.batch_size=8")


@pytest.fixture
def composed(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))
    return lambda *overrides: config(*TINY, f"output_dir={tmp_path / 'outputs'}", *overrides)


@pytest.fixture
def experiment(composed) -> Experiment:
    return Experiment.from_config(composed())


def augmented(experiment: Experiment, copy: AugmentedCopy, rows: list[int]) -> list[torch.Tensor]:
    batch = read_batch(experiment.store, np.array(rows), copy)
    return [wave[:length] for wave, length in zip(batch.waveform, batch.lengths.tolist(), strict=True)]


def test_a_copy_is_a_function_of_the_clip_and_its_number(experiment: Experiment):
    first, second = (copy.for_fold(experiment.fold(0)) for copy in make_copies(experiment))
    rows = experiment.fold(0).train[:5].tolist()
    together = augmented(experiment, first, rows)
    for row, clip in zip(rows[::-1], together[::-1], strict=True):
        assert torch.equal(augmented(experiment, first, [row])[0], clip), "other clips of the batch do not matter"
    assert not any(torch.equal(a, b) for a, b in zip(together, augmented(experiment, second, rows), strict=True))
    changed = 0
    for row, clip in zip(rows, together, strict=True):
        difference = (clip - torch.from_numpy(experiment.store.waveform(row))).nonzero()
        changed += len(difference)
        assert len(difference) <= len(clip) // 2 + 1, "EBM adds a segment of at most half of the clip"
    assert changed


@pytest.mark.parametrize("how", ["uniform", "class_first"])
def test_partners_are_other_training_clips_of_the_fold(composed, how: str):
    experiment = Experiment.from_config(composed(f"data.partner={how}"))
    fold = experiment.fold(0)
    (copy, _) = make_copies(experiment)
    copy, pool = copy.for_fold(fold), set(fold.train.tolist())
    for row in (*fold.train[:6].tolist(), *fold.dev[:6].tolist()):
        drawn = {copy._draw_partner(row, np.random.default_rng(seed)) for seed in range(60)}
        assert drawn <= pool - {row}
        assert len(drawn) > 5


def test_a_copy_without_partner_serves_every_fold(composed):
    experiment = Experiment.from_config(composed("aug=speed"))
    (copy, _) = make_copies(experiment)
    assert copy.find_source_clips(experiment.fold(0)) is None
    rows = experiment.fold(0).train[:3].tolist()
    for a, b in zip(
        augmented(experiment, copy.for_fold(experiment.fold(0)), rows),
        augmented(experiment, copy.for_fold(experiment.fold(1)), rows),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_fitted_head_sees_the_clips_and_their_copies(composed, monkeypatch: pytest.MonkeyPatch, capsys):
    fits, fit = [], LogisticHead.fit

    def record(self, pooled, labels, c, layout=None):
        fits.append((len(pooled), np.bincount(labels).tolist(), list(c)))
        return fit(self, pooled, labels, c, layout)

    monkeypatch.setattr(LogisticHead, "fit", record)
    (folder,) = run_experiment(composed("fold=0"))
    fold = Experiment.from_config(composed()).fold(0)
    (clips, counts, grid), (refit, _, _) = fits
    assert clips == sum(counts) == 3 * len(fold.train)
    assert refit == 3 * (len(fold.train) + len(fold.dev))
    assert grid == pytest.approx([c / 3 for c in (0.01, 0.03, 0.1, 0.3)]), "the loss is a sum over vectors"
    assert "-ebm_copies2-none-strict" in folder.parent.parent.name
    assert "clips of synthetic" in capsys.readouterr().out
    monkeypatch.setattr(FeatureExtractor, "_encode_rows", None)  # an encoder that runs would raise
    run_experiment(composed("fold=0", "head=svm"))
    assert "computing" not in capsys.readouterr().out, "another head reads the same copies"


def test_gradient_head_trains_on_the_hidden_states_of_the_copies(composed):
    experiment = Experiment.from_config(composed(*GRADIENT))
    runner = FoldRunner(experiment, experiment.fold(0))
    part, clips = runner._cached_parts["train"], len(experiment.fold(0).train)
    assert len(part) == 3 * clips
    assert len(runner._cached_parts["dev"]) == len(experiment.fold(0).dev)
    copies = [None, *(copy.for_fold(experiment.fold(0)) for copy in make_copies(experiment))]
    backbone = runner.model.classifier.backbone.eval()
    positions = [0, 2 * clips + 1, clips + 1, 3 * clips - 1]
    batch = part.__getitems__([(position, -1) for position in positions])
    for n, position in enumerate(positions):
        row = experiment.fold(0).train[position % clips]
        wave = read_batch(experiment.store, np.array([row]), copies[position // clips])
        with torch.inference_mode():
            expected, mask = backbone.hidden_states(wave.waveform, wave.lengths)
        found = batch.states[n, :, : int(batch.frame_counts[n])].float()
        for layer, number in enumerate(backbone.selection.numbers):
            torch.testing.assert_close(found[layer], expected[number][0][mask[0]], atol=2e-3, rtol=2e-3)
        assert batch.labels[n] == part.labels[position % clips]


def test_level_weights_of_a_copy_come_from_its_own_waveform(composed):
    """Pooling by level needs the waveforms of hidden states; a learned sum of layers needs the states."""
    overrides = ("head=linear", "pooling=statistics", "backbone.combine=sum", "trainer.max_epochs=1")
    experiment = Experiment.from_config(composed(*overrides))
    part = FoldRunner(experiment, experiment.fold(0))._cached_parts["train"]
    clips = len(experiment.fold(0).train)
    batch = part.__getitems__([(0, -1), (clips, -1)])
    copy = make_copies(experiment)[0].for_fold(experiment.fold(0))
    expected = read_batch(experiment.store, experiment.fold(0).train[:1], copy)
    assert torch.equal(batch.waveform[1], expected.waveform[0])
    assert not torch.equal(batch.waveform[0], batch.waveform[1])


def test_runs_with_copies_are_byte_identical_and_compute_once(composed, tmp_path: Path, monkeypatch):
    def files(output: str) -> list[bytes]:
        folders = run_experiment(composed(*GRADIENT, "fold=[0,1]", f"output_dir={tmp_path / output}"))
        return [(folder / "predictions.csv").read_bytes() for folder in folders]

    monkeypatch.setattr("seenet.training.cached_parts.hash_tensors", lambda backbone: "as if pretrained")
    monkeypatch.setattr("seenet.training.fold_runner.INITIALISATION", 0)
    first = files("first")
    monkeypatch.setattr(HiddenStates, "_encode", None)  # an encoder that runs would raise
    assert files("second") == first
    steps = [row for row in csv.reader((next((tmp_path / "first").glob("*/fold0/curves.csv"))).open())]
    assert len(steps) == 1 + 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("aug.copies=0",), "aug.copies=0: expected a whole number, 1 or more, or null"),
        (("aug.copies=yes",), "aug.copies=.*: expected a whole number, 1 or more, or null"),
        (("aug=none",), "aug.copies=2: aug=none changes no clip; choose an augmentation"),
        (("tune=all", "head=linear"), "aug.copies=2 needs tune=none"),
        (("aug.copies=null",), "aug=ebm draws anew in each epoch; take aug.copies=5"),
    ],
)
def test_copies_without_effect_are_refused_in_one_line(composed, overrides: tuple[str, ...], message: str):
    with pytest.raises(SeenetError, match=message):
        Experiment.from_config(composed(*overrides))


def test_an_encoder_that_runs_in_every_step_says_why(composed, capsys):
    run_experiment(composed(*GRADIENT, "aug.copies=null", "fold=0", "trainer.max_epochs=1"))
    assert "runs in every step, because aug=ebm draws anew in each epoch; aug.copies=5" in capsys.readouterr().out


def test_two_clips_with_equal_samples_have_copies_of_their_own(experiment: Experiment):
    copy = make_copies(experiment)[0].for_fold(experiment.fold(0))
    one, other = experiment.fold(0).train[:2].tolist()
    batch = read_batch(experiment.store, np.array([one]), None)
    renamed: Batch = replace(batch, indices=torch.tensor([other]))
    assert not torch.equal(copy(batch).waveform, copy(renamed).waveform)
