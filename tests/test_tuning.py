"""What `auto` settles: the batch that fits, and whether compilation pays; on a CPU whose memory is pretended."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import SMALL
from seenet.data.batch import Batch
from seenet.data.dataset import Part
from seenet.errors import SeenetError
from seenet.job import Job
from seenet.module import EmotionModel
from seenet.training import train
from seenet.tuning import Cost, fitting, with_batch_size, with_compilation


@pytest.fixture
def small(config, tmp_path: Path):
    def composed(*overrides: str):
        return config(*SMALL, "fold=0", f"output_dir={tmp_path}", *overrides)

    return composed


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A device whose memory is full above so many clips a step, and what was asked of it."""
    device, step = {"most": 64, "longest": 0}, EmotionModel.training_step

    def limited(self: EmotionModel, batch: Batch, number: int) -> torch.Tensor:
        device["longest"] = max(device["longest"], int(batch.lengths.max()))
        if len(batch) > device["most"]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, batch, number)

    monkeypatch.setattr(EmotionModel, "training_step", limited)
    return device


@pytest.mark.parametrize(("most", "expected"), [(64, (12, 1)), (11, (6, 2)), (2, (2, 8)), (1, (1, 16))])
def test_the_batch_that_fits(small, memory, most: int, expected: tuple[int, int], tmp_path: Path):
    memory["most"] = most
    cfg = small()
    chosen = fitting(cfg, 12)
    assert (chosen.data.batch_size, chosen.trainer.accumulate_grad_batches) == expected
    assert cfg == small(), "what was given stays"
    job = Job.of(chosen)
    lengths = Part(job.manifest, job.store, job.folds[0].train, job.classes).lengths
    assert memory["longest"] == np.max(lengths)
    assert not list(tmp_path.rglob("*.ckpt")), "nothing of the trial stays"


def test_no_batch_fits(small, memory):
    memory["most"] = 0
    with pytest.raises(SeenetError, match="data.batch_size=1: shorten data.max_seconds or take a smaller backbone"):
        fitting(small(), 12)


def test_accumulation_that_is_asked_for_is_kept(small, memory):
    memory["most"] = 6
    assert fitting(small("trainer.accumulate_grad_batches=3"), 12).trainer.accumulate_grad_batches == 6


def test_batch_size_auto_on_a_cpu(small):
    """The backbone's own batch: the same run as with the number."""
    cfg = with_batch_size(small("data.batch_size=auto"))
    assert (cfg.data.batch_size, cfg.trainer.accumulate_grad_batches) == (32, 1)
    assert Job.of(cfg).run.folder == Job.of(small("data.batch_size=32")).run.folder
    (folder,) = train(small("data.batch_size=auto", "trainer.max_epochs=1"))
    assert folder.parents[1] == Job.of(small("data.batch_size=32", "trainer.max_epochs=1")).run.folder


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("~backbone.recipe.batch_size", "has no backbone.recipe.batch_size; give a number"),
        ("trainer.devices=2", "data.batch_size=auto is for one GPU, and trainer.devices=2"),
    ],
)
def test_batch_size_auto_where_it_cannot_be(small, setting: str, message: str):
    with pytest.raises(SeenetError, match=message):
        train(small("data.batch_size=auto", setting))


@pytest.mark.parametrize(
    ("plain", "compiled", "expected", "said"),
    [
        (10.0, 6.0, True, "torch.compile saves"),
        (10.0, 9.9, True, "torch.compile saves"),
        (10.0, 11.0, False, "torch.compile does not pay"),
        (0.001, 0.0001, False, ""),  # too short a training to try
        (10.0, RuntimeError("no compiler\nbut pages"), False, "torch.compile fails here (no compiler but pages)"),
    ],
)
def test_compilation_where_it_pays(small, monkeypatch, capsys, plain: float, compiled, expected: bool, said: str):
    def probe(job: Job) -> Cost:
        if job.plan.compile and isinstance(compiled, Exception):
            raise compiled
        return Cost(compiled if job.plan.compile else plain, 0, 0)

    monkeypatch.setattr("seenet.tuning.probe", probe)
    job = Job.of(small())
    assert job.plan.compile is False, "auto, on a CPU"
    assert with_compilation(job) is job
    job.plan.compile = "auto"
    assert with_compilation(job).plan.compile is expected
    assert said in capsys.readouterr().out


def test_a_backbone_that_cannot_be_compiled(small, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("seenet.backbone.speech.SpeechBackbone.compile_layers")
    with pytest.raises(SeenetError, match="this backbone cannot be compiled; take trainer.compile=false"):
        train(small("trainer.compile=true"))
