"""What `auto` settles: the batch that fits, and whether compilation pays; on a CPU whose memory is pretended."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seenet.core.errors import SeenetError
from seenet.data.batch import Batch
from seenet.data.dataset import FoldPart
from seenet.models.lightning_module import EmotionModel
from seenet.training.auto_batch_size import resolve_batch_size
from seenet.training.auto_compile import resolve_compile
from seenet.training.experiment import Experiment
from seenet.training.probing import StepCost, probe
from seenet.training.run import run_experiment
from seenet.training.trainer import TrainerConfig
from support.console import SMALL


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


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that passes for a GPU."""
    usual = TrainerConfig.__post_init__

    def pretended(plan: TrainerConfig) -> None:
        plan.accelerator = "auto"
        usual(plan)
        plan.accelerator = "gpu"

    monkeypatch.setattr(TrainerConfig, "__post_init__", pretended)
    monkeypatch.setattr(TrainerConfig, "device_name", lambda plan: "a GPU")
    make = TrainerConfig.create_trainer
    monkeypatch.setattr(
        TrainerConfig, "create_trainer", lambda *args, **options: make(*args, **{"accelerator": "cpu", **options})
    )


def batches(job: Experiment) -> tuple[int, int]:
    assert job.config["data"]["batch_size"] == job.batch_size
    assert job.config["trainer"]["accumulate_grad_batches"] == job.trainer.accumulate_grad_batches
    assert job.trainer.accumulate_grad_batches == job.trainer.accumulate_grad_batches
    return job.batch_size, job.trainer.accumulate_grad_batches


AUTO = ("data.batch_size=auto", "backbone.recipe.batch_size=12")


@pytest.mark.parametrize(("most", "expected"), [(64, (12, 1)), (11, (6, 2)), (2, (2, 8)), (1, (1, 16))])
def test_the_batch_that_fits(small, memory, gpu, most: int, expected: tuple[int, int], tmp_path: Path, capsys):
    memory["most"] = most
    cfg = small(*AUTO)
    job = resolve_batch_size(cfg)
    assert batches(job) == expected
    assert f"data.batch_size={expected[0]} trainer.accumulate_grad_batches={expected[1]}" in capsys.readouterr().out
    assert cfg == small(*AUTO), "what was given stays"
    given = (f"data.batch_size={expected[0]}", f"trainer.accumulate_grad_batches={expected[1]}")
    assert job.run == Experiment.from_config(small("backbone.recipe.batch_size=12", *given)).run, (
        "the same run as with the numbers"
    )
    assert memory["longest"] == np.max(FoldPart(job.manifest, job.store, job.folds[0].train, job.classes).lengths)
    assert not list(tmp_path.rglob("*.ckpt")), "nothing of the trial stays"


def test_a_trial_leaves_memory_for_what_it_does_not_see(small, memory, gpu, monkeypatch: pytest.MonkeyPatch):
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr(
        "seenet.training.auto_batch_size.run_worst_case_steps", lambda job: take_longest(job, shares[-1])
    )

    def take_longest(job: Experiment, share: float) -> None:
        assert share < 1
        if job.batch_size > 3:
            raise SeenetError("full") from torch.OutOfMemoryError()

    assert batches(resolve_batch_size(small(*AUTO))) == (3, 4)
    assert shares[-1] == 1


def test_no_batch_fits(small, memory, gpu):
    memory["most"] = 0
    with pytest.raises(SeenetError, match="data.batch_size=1: shorten data.max_seconds or take a smaller backbone"):
        resolve_batch_size(small(*AUTO))


def test_accumulation_that_is_asked_for_is_kept(small, memory, gpu):
    memory["most"] = 6
    assert batches(resolve_batch_size(small(*AUTO, "trainer.accumulate_grad_batches=3"))) == (6, 6)


def test_a_run_goes_on_in_as_many_parts_as_it_began(small, memory, gpu):
    """Though another number would fit now: that would be another run, and this one never finished."""
    memory["most"] = 11
    (result,) = run_experiment(small(*AUTO, "trainer.max_epochs=1"))
    memory["most"] = 64
    (again,) = run_experiment(small(*AUTO, "trainer.max_epochs=1"))
    assert again == result
    result.joinpath("result.json").unlink()
    assert batches(resolve_batch_size(small(*AUTO, "trainer.max_epochs=1"))) == (6, 2), "by its checkpoint"
    result.parent.joinpath("best.ckpt").unlink()
    assert batches(resolve_batch_size(small(*AUTO, "trainer.max_epochs=1"))) == (12, 1), "nothing is left"


def test_batch_size_auto_on_a_cpu(small):
    """The backbone's own batch: the same run as with the number."""
    job = resolve_batch_size(small("data.batch_size=auto"))
    assert batches(job) == (32, 1)
    assert job.run == Experiment.from_config(small("data.batch_size=32")).run
    (folder,) = run_experiment(small("data.batch_size=auto", "trainer.max_epochs=1"))
    assert folder.parents[1] == Experiment.from_config(small("data.batch_size=32", "trainer.max_epochs=1")).run.folder


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("~backbone.recipe.batch_size", "has no backbone.recipe.batch_size; give a number"),
        ("trainer.devices=2", "data.batch_size=auto is for one GPU, and trainer.devices=2"),
    ],
)
def test_batch_size_auto_where_it_cannot_be(small, setting: str, message: str):
    with pytest.raises(SeenetError, match=message):
        run_experiment(small("data.batch_size=auto", setting))


@pytest.mark.parametrize(
    ("plain", "compiled", "expected", "message"),
    [
        (10.0, 6.0, True, "torch.compile saves"),
        (10.0, 9.9, True, "torch.compile saves"),
        (10.0, 11.0, False, "torch.compile does not pay"),
        (0.001, 0.0001, False, ""),  # too short a training to try
        (10.0, RuntimeError("no compiler\nbut pages"), False, "torch.compile fails here (no compiler but pages)"),
    ],
)
def test_compile_auto_keeps_what_saves_time(
    small, monkeypatch, capsys, plain: float, compiled, expected: bool, message: str
):
    asked: list[int | None] = []

    def probe(job: Experiment, steps: int | None = None) -> StepCost:
        asked.append(steps)
        if job.trainer.compile and isinstance(compiled, Exception):
            raise compiled
        return StepCost(compiled if job.trainer.compile else plain, 0, 0, 17)

    monkeypatch.setattr("seenet.training.auto_compile.probe", probe)
    job = Experiment.from_config(small())
    assert job.trainer.compile is False, "auto, on a CPU"
    assert resolve_compile(job) is job
    job.trainer.compile = "auto"
    assert resolve_compile(job).trainer.compile is expected
    assert message in capsys.readouterr().out
    assert asked in ([None], [None, 17]), "both take the same steps"
    tried, measured = len(asked), "pay" in message or "saves" in message
    assert resolve_compile(job).trainer.compile is expected
    assert len(asked) == tried if measured else len(asked) > tried, "what was measured is kept"
    monkeypatch.setattr(TrainerConfig, "device_name", lambda plan: "another")
    resolve_compile(job)
    assert len(asked) > tried


def test_probes_of_equal_steps_see_equal_batches(small, monkeypatch: pytest.MonkeyPatch):
    seen, step = [], EmotionModel.training_step

    def watched(self: EmotionModel, batch: Batch, number: int) -> torch.Tensor:
        seen.append(batch.indices.tolist())
        return step(self, batch, number)

    monkeypatch.setattr(EmotionModel, "training_step", watched)
    monkeypatch.setattr("seenet.training.probing.PROBE_SECONDS", 0.0)
    job = Experiment.from_config(small())
    first = probe(job)
    assert first.steps == len(seen) >= 3
    monkeypatch.setattr("seenet.training.probing.PROBE_SECONDS", 1000.0)
    assert probe(job, first.steps).steps == first.steps
    assert seen[: first.steps] == seen[first.steps :]


def test_a_compiled_probe_compiles_for_tests_too(small, monkeypatch: pytest.MonkeyPatch):
    """Or that would be paid, and could fail, after the first epoch."""
    seen, step = [], EmotionModel.validation_step

    def watched(self: EmotionModel, batch: Batch, number: int) -> None:
        seen.append(torch.is_inference_mode_enabled())
        step(self, batch, number)

    monkeypatch.setattr(EmotionModel, "validation_step", watched)
    monkeypatch.setattr(
        "seenet.models.backbones.transformers_backbone.SpeechBackbone.compile_layers", lambda backbone: None
    )
    probe(Experiment.from_config(small()), 3)
    assert seen == []
    probe(Experiment.from_config(small("trainer.compile=true")), 3)
    assert seen == [False], "one batch, and not in inference mode, for which everything is compiled once more"


def test_a_backbone_that_cannot_be_compiled(small, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("seenet.models.backbones.transformers_backbone.SpeechBackbone.compile_layers")
    with pytest.raises(SeenetError, match="this backbone cannot be compiled; take trainer.compile=false"):
        run_experiment(small("trainer.compile=true"))
