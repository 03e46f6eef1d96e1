"""Prefetching in a thread, and loaders that resume within an epoch."""

import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from seenet.corpora.synthetic.corpus import read
from seenet.corpora.vocabulary import CLASS_SETS
from seenet.corpora.waveform_store import open_store
from seenet.data.batch import Batch
from seenet.data.batch_sampler import EvaluationBatches, TrainBatches
from seenet.data.dataset import FoldPart
from seenet.data.loader import Loader, TrainLoader, prefetch_to_device
from support.console import HANG

CPU = torch.device("cpu")


def make_numbered_batches(count: int, taken: list[int]) -> Iterator[Batch]:
    """Yield batches of one number each, and record in `taken` which were made."""
    for number in range(count):
        taken.append(number)
        yield Batch(*(torch.full((1,), number) for _ in range(6)))


def test_prefetch_keeps_the_order():
    assert [int(batch.indices) for batch in prefetch_to_device(make_numbered_batches(50, []), CPU)] == list(range(50))
    assert list(prefetch_to_device(make_numbered_batches(0, []), CPU)) == []


def test_prefetch_loads_exactly_one_batch_early():
    made = [threading.Event() for _ in range(5)]

    def batches() -> Iterator[Batch]:
        for number, batch in enumerate(make_numbered_batches(5, [])):
            made[number].set()
            yield batch

    loop = prefetch_to_device(batches(), CPU)
    for number in range(4):
        assert int(next(loop).indices) == number
        assert made[number + 1].wait(HANG), "loaded while the previous batch is in use"
        assert not any(event.is_set() for event in made[number + 2 :])
    loop.close()


def test_prefetch_raises_exceptions_of_its_thread():
    def batches() -> Iterator[Batch]:
        yield from make_numbered_batches(2, [])
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(int(batch.indices) for batch in prefetch_to_device(batches(), CPU))
    loop = prefetch_to_device(batches(), CPU)
    assert [int(next(loop).indices), int(next(loop).indices)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(loop)


def test_prefetch_ends_its_thread_when_closed_early():
    before = set(threading.enumerate())
    taken: list[int] = []
    loop = prefetch_to_device(make_numbered_batches(50, taken), CPU)
    next(loop)
    assert set(threading.enumerate()) - before
    loop.close()
    assert not set(threading.enumerate()) - before
    assert taken in ([0], [0, 1])


def test_program_ends_when_it_exits_while_prefetching():
    program = """
import torch
from seenet.data.batch import Batch
from seenet.data.loader import prefetch_to_device
batches = (Batch(*(torch.full((1,), n) for _ in range(6))) for n in range(9))
loop = prefetch_to_device(batches, torch.device("cpu"))
print(int(next(loop).indices), flush=True)
raise SystemExit(3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stdout, done.stderr) == (3, "0\n", "")


@pytest.fixture(scope="module")
def part() -> FoldPart:
    manifest = read(speakers=6, clips=2)
    return FoldPart(manifest, open_store(manifest, 6.0), np.arange(len(manifest)), CLASS_SETS["four"])


def train_loader(part: FoldPart, workers: int = 0) -> TrainLoader:
    batches = TrainBatches(part.labels, part.lengths, 4, True, "uniform", 0)
    return TrainLoader(part, batches, CPU, workers)


def indices(batches: Iterator[Batch]) -> list[list[int]]:
    return [batch.indices.tolist() for batch in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_train_loader_resumes_after_the_yielded_batches(part, workers: int):
    """Prefetched batches do not count, and the next epoch is complete."""
    uninterrupted = train_loader(part)
    epochs = []
    for number in (0, 1):
        uninterrupted.sampler.set_epoch(number)
        epochs.append(indices(iter(uninterrupted)))
    first, second = train_loader(part, workers), train_loader(part, workers)
    loop = iter(first)
    assert [next(loop).indices.tolist() for _ in range(5)] == epochs[0][:5]
    second.load_state_dict(first.state_dict())
    iter(second)  # Lightning creates an iterator that it does not use
    assert indices(iter(second)) == epochs[0][5:]
    assert len(second) == second.state_dict()["given"] == len(epochs[0]) == 12
    second.sampler.set_epoch(1)
    assert indices(iter(second)) == epochs[1]


def test_prefetched_batches_equal_loaded_batches(part):
    plain = list(Loader(part, EvaluationBatches(part.lengths, 8), CPU))
    loaded = list(prefetch_to_device(iter(Loader(part, EvaluationBatches(part.lengths, 8), CPU)), CPU))
    assert len(plain) == len(loaded) == 6
    for one, other in zip(plain, loaded, strict=True):
        assert torch.equal(one.waveform, other.waveform)


@pytest.mark.parametrize("method", ["spawn", "loky"])
def test_loader_processes_return_equal_batches_with_every_start_method(part, monkeypatch, method: str):
    """Spawned processes unpickle the part; loky is a method that torch does not accept."""
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: method)
    expected = list(Loader(part, EvaluationBatches(part.lengths, 8), CPU))
    loaded = list(Loader(part, EvaluationBatches(part.lengths, 8), CPU, num_workers=1))
    assert len(loaded) == len(expected)
    for batch, plain in zip(loaded, expected, strict=True):
        assert torch.equal(batch.waveform, plain.waveform)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_batches_on_a_gpu_are_complete(part):
    """The GPU is busy with the previous batch, and its memory is reused."""
    device = torch.device("cuda", 0)
    expected = list(Loader(part, EvaluationBatches(part.lengths, 8), CPU))
    for _ in range(5):
        for batch, plain in zip(Loader(part, EvaluationBatches(part.lengths, 8), device), expected, strict=True):
            busy = torch.randn(2048, 2048, device=device)
            for _ in range(20):
                busy = busy @ busy.softmax(dim=1)
            assert torch.equal(batch.waveform.cpu(), plain.waveform)
            assert torch.equal(batch.lengths.cpu(), plain.lengths)
