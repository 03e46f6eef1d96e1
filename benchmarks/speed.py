"""What seenet's speed-ups bring: a training epoch, the data path and EBM, against the stock way, in one run.

Stock is what the original does: transformers' own model and attention, files read and EBM computed clip by clip with
numpy in the dataset, batches in random order, no loader workers; on a GPU both sides run in bf16 autocast. Both sides
take turns in one process on the same clips (noise; their lengths have IEMOCAP's quantiles, cropped at 6 s). The figures
that count are the ratios of medians. `cpu` takes some minutes on two cores; `gpu` measures WavLM large and prints
seconds, peak memory and the share of the device's measured bf16 matrix speed that the model's products reach (counted
by torch's FlopCounterMode over transformers' own model: matrix products and convolutions alone).

Usage: python benchmarks/speed.py [cpu | gpu]
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as seenet-train does, for both sides
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import numpy as np
import soundfile
import soxr
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from seenet.augment.ebm import EnergyBasedMixup
from seenet.auxiliary.see import SoftEmotionExperts
from seenet.backbone.speech import SpeechBackbone
from seenet.backbone.weights import Weights
from seenet.data.batch import Batch
from seenet.data.dataset import Part
from seenet.data.sampler import TrainBatches
from seenet.manifest import Manifest, Utterance
from seenet.pooling import AttentionPooling
from seenet.store import prepare

RATE, SECONDS, CLIPS = 16000, 6.0, 512
QUANTILES = ([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], [0.58, 1.68, 2.32, 3.58, 5.77, 8.69, 34.1])
CLASSES = ("happy", "neutral", "sad", "angry")
TINY = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "conv_dim": [64, 64], "conv_kernel": [400, 4], "conv_stride": [80, 4], "num_feat_extract_layers": 2,
    "conv_bias": True, "feat_extract_norm": "layer", "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
}  # fmt: skip
QUIET = {"layerdrop": 0.0, "mask_time_prob": 0.0}  # which would make steps unlike


class Stock(nn.Module):
    """transformers' WavLM as it comes."""

    def __init__(self, architecture: dict, frozen: bool):
        super().__init__()
        self.model = transformers.WavLMModel(transformers.WavLMConfig(**architecture, **QUIET))
        self.dim = self.model.config.hidden_size
        if frozen:
            self.model.freeze_feature_encoder()

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        samples = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
        output = self.model(waveform, attention_mask=samples.long()).last_hidden_state
        frames = self.model._get_feat_extract_output_lengths(lengths)
        return output, torch.arange(output.shape[1], device=waveform.device) < frames[:, None]


def mix(clip: np.ndarray, partner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """EBM of one clip with numpy."""
    length = rng.integers(0, len(clip) // 2 + 1)
    start = rng.integers(0, len(clip) - length + 1)
    begin = rng.integers(0, max(0, len(partner) - length) + 1)
    length = min(length, len(partner))
    scale = np.sqrt(np.mean(clip**2) / (10 ** (rng.integers(-5, 6) / 10) * np.mean(partner**2)))
    mixed = clip.copy()
    mixed[start : start + length] += (scale * partner[begin : begin + length]).astype(np.float32)
    return mixed


def read(path: Path) -> np.ndarray:
    """The first seconds of a file at 16 kHz."""
    rate = soundfile.info(path).samplerate
    wave, _ = soundfile.read(path, frames=int(SECONDS * rate), dtype="float32")
    return wave if rate == RATE else soxr.resample(wave, rate, RATE)


def stock_batches(paths: list[Path], labels: Tensor, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """An epoch of random batches, read and mixed clip by clip."""
    order = rng.permutation(len(paths))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        clips = [mix(read(paths[k]), read(paths[rng.integers(len(paths))]), rng) for k in chosen]
        lengths = torch.tensor([len(clip) for clip in clips])
        waveform = nn.utils.rnn.pad_sequence([torch.from_numpy(clip) for clip in clips], batch_first=True)
        rows = torch.from_numpy(chosen)
        yield Batch(waveform, lengths, labels[rows], rows, rows, rows)


def our_batches(part: Part, batch_size: int, epoch: int, device: torch.device) -> Iterator[Batch]:
    """An epoch of seenet's batches: bucketed, from the store, mixed on the device."""
    batches = TrainBatches(part.labels, part.lengths, batch_size, False, "uniform", 0)
    batches.set_epoch(epoch)
    generator, ebm = torch.Generator(device).manual_seed(epoch), EnergyBasedMixup()
    for items in batches:
        yield ebm(part.__getitems__(items).to(device), generator)


class Trainer:
    """A model and the step that both sides take."""

    def __init__(self, backbone: nn.Module, fused: bool, device: torch.device):
        self.model = nn.ModuleDict(
            {"backbone": backbone, "pooling": AttentionPooling(backbone.dim), "head": nn.Linear(backbone.dim, 4)}
        )
        self.model["auxiliary"] = SoftEmotionExperts(backbone.dim, 4, train=None)
        self.model.to(device).train()
        self.device, self.generator = device, torch.Generator(device).manual_seed(0)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=fused)

    def step(self, batch: Batch) -> None:
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            pooled = self.model["pooling"](*self.model["backbone"](batch.waveform, batch.lengths))
            main = F.cross_entropy(self.model["head"](pooled).float(), batch.labels)
            loss, _ = self.model["auxiliary"].loss(main, pooled, batch, self.generator)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def epoch_seconds(trainer: Trainer, batches: Iterator[Batch], sample: int | None) -> float:
    """Seconds a clip of an epoch, or of batches evenly spaced in its batches by size; what makes them is in."""
    start = clock(trainer.device)
    if sample is None:
        clips = 0
        for batch in batches:
            trainer.step(batch)
            clips += len(batch)
        return (clock(trainer.device) - start) / clips
    drawn = sorted(batches, key=lambda batch: batch.waveform.numel())
    making = (clock(trainer.device) - start) / sum(map(len, drawn))
    chosen = [drawn[round((k + 0.5) * len(drawn) / sample - 0.5)] for k in range(sample)]
    start = clock(trainer.device)
    for batch in chosen:
        trainer.step(batch)
    return making + (clock(trainer.device) - start) / sum(map(len, chosen))


def epochs(
    name: str, sides: dict[str, Trainer], corpus: "Corpus", batch_size: int, rounds: int, sample: int | None
) -> dict[str, float]:
    device = sides["ours"].device
    times: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):  # in turn; the first is not counted
        batches = {
            "stock": stock_batches(corpus.paths, corpus.part.labels, batch_size, np.random.default_rng(number)),
            "ours": our_batches(corpus.part, batch_size, number, device),
        }
        for side, trainer in sides.items():
            seconds = epoch_seconds(trainer, batches[side], sample if number else 1)
            if number:
                times[side].append(seconds)
    stock, ours = (statistics.median(times[side]) for side in ("stock", "ours"))
    print(f"epoch of {name}, batches of {batch_size}: stock takes {stock / ours:.2f} x our time", flush=True)
    return {"ratio": stock / ours, "stock_ms_a_clip": 1000 * stock, "ours_ms_a_clip": 1000 * ours}


class Corpus:
    """Clips of noise of IEMOCAP's lengths, as files and as a part of the store."""

    def __init__(self, folder: Path, rate: int):
        rng = np.random.default_rng(0)
        seconds = np.interp((np.arange(CLIPS) + 0.5) / CLIPS, *QUANTILES)
        os.environ["SEENET_CACHE"] = str(folder / "cache")
        rows = []
        for k, length in enumerate(rng.permutation(seconds)):
            wave = rng.normal(0, 0.1, int(length * rate)).clip(-1, 1)
            soundfile.write(folder / f"{k}.wav", wave, rate, subtype="PCM_16")
            rows.append(Utterance(str(k), f"{k}.wav", CLASSES[k % 4], speaker=f"s{k % 10}"))
        manifest = Manifest(f"bench{rate}", folder, rows)
        self.paths = [folder / row.path for row in rows]
        self.part = Part(manifest, prepare(manifest, SECONDS), np.arange(CLIPS), CLASSES)


def in_turn(stock: Callable[[], object], ours: Callable[[], object], device: torch.device, rounds: int = 7) -> dict:
    times: dict[str, list[float]] = {"stock": [], "ours": []}
    for number in range(rounds + 1):
        for side, work in (("stock", stock), ("ours", ours)):
            start = clock(device)
            work()
            if number:
                times[side].append(clock(device) - start)
    medians = {side: statistics.median(values) for side, values in times.items()}
    return {"ratio": medians["stock"] / medians["ours"], **{f"{side}_ms": 1000 * s for side, s in medians.items()}}


def data_path(folder: Path) -> dict[str, float]:
    """An epoch's batches from 48 kHz files, against the store."""
    corpus = Corpus(folder, 48000)

    def ours() -> None:
        for items in TrainBatches(corpus.part.labels, corpus.part.lengths, 64, False, None, 0):
            corpus.part.__getitems__(items)

    def stock() -> None:
        for start in range(0, CLIPS, 64):
            clips = [torch.from_numpy(read(path)) for path in corpus.paths[start : start + 64]]
            nn.utils.rnn.pad_sequence(clips, batch_first=True)

    figures = in_turn(stock, ours, torch.device("cpu"), rounds=3)
    print(f"data path: 48 kHz files take {figures['ratio']:.0f} x the store's time", flush=True)
    return figures


def ebm(step_ms: float, device: torch.device) -> dict[str, float]:
    """64 clips of 6 s on the device, against numpy; and as a share of a training step of 64 × 6 s."""
    generator, size = torch.Generator().manual_seed(0), int(SECONDS * RATE)
    clips, partners = (0.1 * torch.randn(64, size, generator=generator) for _ in range(2))
    lengths, zeros = torch.full((64,), size), torch.zeros(64, dtype=torch.long)
    batch = Batch(clips, lengths, zeros, zeros, zeros, zeros, partners, lengths).to(device)
    arrays = list(zip(clips.numpy(), partners.numpy(), strict=True))
    rng, here, ours = np.random.default_rng(0), torch.Generator(device).manual_seed(0), EnergyBasedMixup()
    figures = in_turn(lambda: [mix(*pair, rng) for pair in arrays], lambda: ours(batch, here), device)
    share = figures["ours_ms"] / step_ms
    print(f"EBM: numpy takes {figures['ratio']:.1f} x our time, which is {100 * share:.2f} % of a step", flush=True)
    return {**figures, "share_of_step": share}


def full_batch(device: torch.device) -> Batch:
    size = int(SECONDS * RATE)
    zeros = torch.zeros(64, dtype=torch.long)
    waveform = 0.1 * torch.randn(64, size, generator=torch.Generator().manual_seed(0))
    return Batch(waveform, torch.full((64,), size), torch.arange(64) % 4, zeros, zeros, zeros).to(device)


def steps(sides: dict[str, Trainer], rounds: int) -> dict[str, float]:
    """Training steps of 64 × 6 s."""
    device = sides["ours"].device
    batch = full_batch(device)
    figures = in_turn(lambda: sides["stock"].step(batch), lambda: sides["ours"].step(batch), device, rounds)
    print(f"step of 64 x 6 s: stock takes {figures['ratio']:.2f} x our time", flush=True)
    if device.type == "cuda":
        for side, trainer in sides.items():
            torch.cuda.reset_peak_memory_stats()
            trainer.step(batch)
            figures[f"{side}_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        with FlopCounterMode(display=False) as counter:
            sides["stock"].step(batch)
        operations, ceiling = counter.get_total_flops(), matrix_speed(device)
        figures |= {"operations": operations, "ceiling_tflops": ceiling / 1e12}
        for side in sides:
            figures[f"{side}_mfu"] = operations / (figures[f"{side}_ms"] / 1000) / ceiling
        print({key: round(value, 3) for key, value in figures.items()}, flush=True)
    return figures


def matrix_speed(device: torch.device) -> float:
    """Operations a second of a large bf16 matrix product."""
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(20):
        start = clock(device)
        a @ b
        times.append(clock(device) - start)
    return 2 * 8192**3 / statistics.median(times)


def sides(architecture: dict, frozen: bool, device: torch.device) -> dict[str, Trainer]:
    torch.manual_seed(0)
    stock = Trainer(Stock(architecture, frozen), False, device)
    ours = SpeechBackbone("wavlm", Weights(None), frozen, architecture=architecture, **QUIET)
    ours.model.load_state_dict(stock.model["backbone"].model.state_dict())
    return {"stock": stock, "ours": Trainer(ours, True, device)}


def main(setting: str) -> dict[str, object]:
    device = torch.device("cuda" if setting == "gpu" else "cpu")
    machine = torch.cuda.get_device_name() if setting == "gpu" else f"{platform.machine()} CPU"
    figures: dict[str, object] = {
        "benchmark": "speed", "setting": setting, "machine": machine, "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "16000").mkdir()
        (folder / "48000").mkdir()
        figures["data_path"] = data_path(folder / "48000")
        corpus = Corpus(folder / "16000", RATE)
        if setting == "gpu":
            large = sides(LARGE, True, device)
            figures["step"] = steps(large, 10)
            figures["epoch"] = epochs("WavLM large", large, corpus, 64, 3, None)
        else:
            tiny = sides(TINY, False, device)
            figures["step"] = steps(tiny, 3)
            figures["epoch_tiny"] = epochs("wavlm_tiny", tiny, corpus, 64, 3, None)
            base = sides({}, True, device)
            figures["epoch_base"] = epochs("wavlm_base's widths", base, corpus, 8, 2, 3)
        figures["ebm"] = ebm(figures["step"]["ours_ms"], device)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("setting", nargs="?", default="cpu", choices=("cpu", "gpu"))
    figures = main(parser.parse_args().setting)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / f"speed_{figures['setting']}.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures))
