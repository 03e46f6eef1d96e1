"""The benchmark of speed compares equals, and is ready for a GPU whose memory is too small for stock."""

import importlib
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

CPU = torch.device("cpu")


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.setenv("SEENET_CACHE", "")  # which it changes
    return importlib.import_module("speed")


@pytest.mark.filterwarnings("ignore:.*mismatched key_padding_mask.*")
def test_both_sides_are_the_same_function(speed: ModuleType):
    pair = speed.sides("wavlm", *speed.model("wavlm", "cpu"), CPU)
    pair["ours"].model["pooling"].load_state_dict(pair["stock"].model["pooling"].state_dict())
    pair["ours"].model["head"].load_state_dict(pair["stock"].model["head"].state_dict())
    batch = speed.full_batch(CPU, 2)
    batch.lengths[1] //= 2
    batch.waveform[1, batch.lengths[1] :] = 0
    logits = [trainer.logits(batch)[0] for trainer in pair.values() if trainer.model.eval()]
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*mismatched key_padding_mask.*")
def test_both_sides_train_on_every_clip(speed: ModuleType, tmp_path: Path):
    corpus = speed.Corpus(tmp_path / "clips", speed.RATE, 8)
    for side, workers in (("stock", 0), ("stock", 2), ("ours", 0)):
        rows = [batch.indices for batch in speed._batches(side, corpus, 4, 0, CPU, workers)]
        assert torch.cat(rows).sort().values.tolist() == list(range(len(corpus.paths)))
    pair = speed.sides("wavlm", *speed.model("wavlm", "cpu"), CPU)
    before = {side: trainer.model["head"].weight.detach().clone() for side, trainer in pair.items()}
    speed.epochs("tiny", pair, corpus, 4, 1)
    for side, trainer in pair.items():
        assert not torch.equal(trainer.model["head"].weight, before[side]), f"{side} takes steps"


def test_what_goes_wrong_in_a_child_is_shown(speed: ModuleType):
    with pytest.raises(SystemExit, match="KeyError: 'nobody'"):
        speed.child("first", "nobody", "folder")


def test_memory_is_compared_where_both_fit(speed: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        speed, "child", lambda _, side, kind, clips: str(math.inf if side == "stock" and clips == "64" else int(clips))
    )
    figures = speed.memory(CPU)
    assert (figures["clips"], figures["ratio"]) == (32, 1.0)
