"""The two sides of the speed benchmark: stock and seenet, with equal weights and the same corpus."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from stock import QUIET, RATE, SECONDS, Stock, stock_loader
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from seenet.core.paths import conf_dir
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.waveform_store import open_store
from seenet.data.augmentation.ebm import EnergyBasedMixup
from seenet.data.batch import Batch
from seenet.data.batch_sampler import TrainBatches
from seenet.data.dataset import FoldPart
from seenet.data.loader import Loader
from seenet.models.auxiliary.soft_emotion_experts import SoftEmotionExperts
from seenet.models.backbones.checkpoint_loading import encoder_classes
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone
from seenet.models.pooling import AttentionPooling

QUANTILES = ([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], [0.58, 1.68, 2.32, 3.58, 5.77, 8.69, 34.1])
CLASSES = ("happy", "neutral", "sad", "angry")
LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
}  # fmt: skip


class OurBatches:
    """Epochs of seenet batches: bucketed, from the store, mixed on the device."""

    def __init__(self, part: FoldPart, batch_size: int, device: torch.device):
        self.sampler = TrainBatches(part.labels, part.lengths, batch_size, False, "uniform", 0)
        self.loader, self.generator = Loader(part, self.sampler, device), torch.Generator(device).manual_seed(0)

    def __iter__(self) -> Iterator[Batch]:
        ebm = EnergyBasedMixup()
        for batch in self.loader:
            yield ebm(batch, self.generator)
        self.sampler.set_epoch(self.sampler.epoch + 1)


def half_precision(device: torch.device) -> torch.autocast:
    """Return bf16 autocast, enabled on a GPU only."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


class Trainer:
    """A model with the training step of both sides."""

    def __init__(self, backbone: nn.Module, fused: bool, device: torch.device):
        self.model = nn.ModuleDict(
            {"backbone": backbone, "pooling": AttentionPooling(backbone.dim), "head": nn.Linear(backbone.dim, 4)}
        )
        self.model["auxiliary"] = SoftEmotionExperts(backbone.dim, 4, target_spec=None)
        self.model.to(device).train()
        self.device, self.generator = device, torch.Generator(device).manual_seed(0)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=fused)

    def logits(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = self.model["pooling"](*self.model["backbone"](batch.waveform, batch.lengths))
        return self.model["head"](pooled).float(), pooled

    def step(self, batch: Batch) -> None:
        batch = batch.to(self.device)
        with half_precision(self.device):
            logits, pooled = self.logits(batch)
            loss, _ = self.model["auxiliary"].loss(F.cross_entropy(logits, batch.labels), pooled, batch, self.generator)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


Sides = dict[str, Trainer]
Figures = dict[str, float]


def clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    start = clock(device)
    work()
    return clock(device) - start


def in_turn(
    stock: Callable[[], object], ours: Callable[[], object], device: torch.device, rounds: int, warm_up: int = 1
) -> Figures:
    """Time both alternately; the ratio is the median over rounds, robust to load from other processes."""
    turns = [(seconds(stock, device), seconds(ours, device)) for _ in range(warm_up + rounds)][warm_up:]
    return {
        "ratio": statistics.median(s / o for s, o in turns),
        "stock_ms": 1000 * statistics.median(s for s, _ in turns),
        "ours_ms": 1000 * statistics.median(o for _, o in turns),
    }


class Corpus:
    """Clips of noise with the lengths of IEMOCAP, as files and as a part of the store."""

    def __init__(self, folder: Path, rate: int, clips: int):
        rng = np.random.default_rng(0)
        lengths = np.interp((np.arange(clips) + 0.5) / clips, *QUANTILES)
        os.environ["SEENET_CACHE"] = str(folder / "cache")
        rows = []
        folder.mkdir()
        for k, length in enumerate(rng.permutation(lengths)):
            wave = rng.normal(0, 0.1, int(length * rate)).clip(-1, 1)
            soundfile.write(folder / f"{k}.wav", wave, rate, subtype="PCM_16")
            rows.append(Utterance(str(k), f"{k}.wav", CLASSES[k % 4], speaker=f"s{k % 10}"))
        manifest = Manifest(f"bench{rate}", folder, rows)
        self.paths = [folder / row.path for row in rows]
        self.part = FoldPart(manifest, open_store(manifest, SECONDS), np.arange(clips), CLASSES)


def sides(family: str, architecture: dict, frozen: bool, device: torch.device) -> Sides:
    """Build the stock model and ours with the same weights."""
    torch.manual_seed(0)
    known = encoder_classes(family)[0]()
    architecture = {name: value for name, value in architecture.items() if hasattr(known, name)}
    stock = Trainer(Stock(family, architecture, frozen), False, device)
    ours = SpeechBackbone(family, Weights(None), freeze_feature_encoder=frozen, architecture=architecture, **QUIET)
    ours.model.load_state_dict(stock.model["backbone"].model.state_dict())
    return {"stock": stock, "ours": Trainer(ours, True, device)}


def model(family: str, kind: str) -> tuple[dict, bool]:
    """Return the architecture for a kind of device, and whether its feature encoder is frozen.

    A GPU uses the large one, frozen as in the paper; a CPU uses the tiny one of conf/backbone.
    """
    if kind == "cuda":
        return LARGE, True
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        tiny = compose("train", overrides=[f"backbone={family.removesuffix('-audio')}_tiny"]).backbone
    return OmegaConf.to_container(tiny.architecture), False


def full_batch(device: torch.device, clips: int) -> Batch:
    size = int(SECONDS * RATE)
    zeros = torch.zeros(clips, dtype=torch.long)
    waveform = 0.1 * torch.randn(clips, size, generator=torch.Generator().manual_seed(0))
    return Batch(waveform, torch.full((clips,), size), torch.arange(clips) % 4, zeros, zeros, zeros).to(device)


def make_batches(
    side: str, corpus: Corpus, batch_size: int, device: torch.device, workers: int = 0
) -> "OurBatches | DataLoader[Batch]":
    """Return the epochs of one side."""
    if side == "ours":
        return OurBatches(corpus.part, batch_size, device)
    return stock_loader(corpus.paths, corpus.part.labels, batch_size, workers)


def matrix_speed(device: torch.device) -> float:
    """Return operations per second of a large matrix product: bf16 on a GPU, float32 on a CPU."""
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / statistics.median(seconds(lambda: a @ b, device) for _ in range(20))


def sampled_epoch(name: str, sides: Sides, corpus: Corpus, batch_size: int, sample: int) -> Figures:
    """Estimate an epoch from `sample` batches of each side, evenly spaced by size; sides alternate."""
    device = sides["ours"].device
    times, clips, chosen = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0), {}
    for side, trainer in sides.items():
        trainer.step(full_batch(device, 1))
        start = clock(device)
        drawn = sorted(make_batches(side, corpus, batch_size, device), key=lambda batch: batch.waveform.numel())
        making = (clock(device) - start) / len(corpus.paths)
        chosen[side] = [drawn[round((k + 0.5) * len(drawn) / sample - 0.5)] for k in range(sample)]
        clips[side] = sum(map(len, chosen[side]))
        times[side] = making * clips[side]
    for turn in zip(*chosen.values(), strict=True):
        for side, batch in zip(chosen, turn, strict=True):
            times[side] += seconds(lambda side=side, batch=batch: sides[side].step(batch), device)
    each = {side: times[side] / clips[side] for side in sides}
    print(
        f"epoch of {name}, batches of {batch_size}: stock takes {each['stock'] / each['ours']:.2f} x our time",
        flush=True,
    )
    return {"ratio": each["stock"] / each["ours"], **{f"{side}_ms_a_clip": 1000 * s for side, s in each.items()}}
