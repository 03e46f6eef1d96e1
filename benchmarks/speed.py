"""What seenet's speed-ups bring, each against the stock way, in one run.

Stock is what the original does: transformers' own models and attention, files read and EBM computed clip by clip with
numpy in the dataset, batches in random order, no loader workers; on a GPU both sides run in bf16 autocast, and an epoch
of stock with loader workers is measured, too. Both sides take turns on the same clips (noise; their lengths have
IEMOCAP's quantiles, cropped at 6 s). The figures that count are the ratios: the median over turns of stock's time by
ours. `cpu` takes three to five minutes on two cores; `gpu` measures the large models. Matrix speed reached (MFU): the
products that torch's FlopCounterMode counts in a step of transformers' own model (matrix products and convolutions
alone), by the time of a step, by the speed of a large matrix product measured beside it (float32 on a CPU, bf16 on a
GPU).

`--quick` takes fewer clips and rounds and no family but WavLM; `--seconds` begins no further section after so long.

Usage: python benchmarks/speed.py [cpu | gpu] [--results FOLDER] [--quick] [--seconds N]
"""

import argparse
import gc
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as seenet-train does, for both sides
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import numpy as np
import soundfile
import torch
import transformers
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from stock import QUIET, RATE, SECONDS, Stock, mix, read, stock_loader
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from seenet.core.paths import conf_dir
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.waveform_store import open_store
from seenet.data.augmentation.ebm import EnergyBasedMixup
from seenet.data.batch import Batch
from seenet.data.batch_sampler import EvaluationBatches, TrainBatches
from seenet.data.dataset import FoldPart
from seenet.data.loader import Loader
from seenet.models.auxiliary.soft_emotion_experts import SoftEmotionExperts
from seenet.models.backbones.checkpoint_loading import FAMILIES
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone
from seenet.models.pooling import AttentionPooling

CLIPS = {"cpu": 320, "cuda": 2048}  # of the corpus
PREDICTED = {"cpu": 64, "cuda": 512}  # of these
ROUNDS = {"cpu": 3, "cuda": 10}  # of steps
EPOCHS = {"cpu": 3, "cuda": 2}  # rounds of epochs
QUICK = {"cpu": (32, 8, 1, 1), "cuda": (512, 128, 3, 1)}  # the same four for `--quick`
WORKERS = min(8, os.cpu_count() or 1)  # of stock's loader, where it has any
QUANTILES = ([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], [0.58, 1.68, 2.32, 3.58, 5.77, 8.69, 34.1])
CLASSES = ("happy", "neutral", "sad", "angry")
LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
}  # fmt: skip
CHILD = Path(__file__).with_name("child.py")


class OurBatches:
    """Epochs of seenet's batches: bucketed, from the store, mixed on the device."""

    def __init__(self, part: FoldPart, batch_size: int, device: torch.device):
        self.sampler = TrainBatches(part.labels, part.lengths, batch_size, False, "uniform", 0)
        self.loader, self.generator = Loader(part, self.sampler, device), torch.Generator(device).manual_seed(0)

    def __iter__(self) -> Iterator[Batch]:
        ebm = EnergyBasedMixup()
        for batch in self.loader:
            yield ebm(batch, self.generator)
        self.sampler.set_epoch(self.sampler.epoch + 1)


def half_precision(device: torch.device) -> torch.autocast:
    """bf16 where the device is a GPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


class Trainer:
    """A model and the step that both sides take."""

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
    """Both in turn, some rounds; the ratio is the median of the rounds' ratios, for neighbours come and go."""
    turns = [(seconds(stock, device), seconds(ours, device)) for _ in range(warm_up + rounds)][warm_up:]
    return {
        "ratio": statistics.median(s / o for s, o in turns),
        "stock_ms": 1000 * statistics.median(s for s, _ in turns),
        "ours_ms": 1000 * statistics.median(o for _, o in turns),
    }


class Corpus:
    """Clips of noise of IEMOCAP's lengths, as files and as a part of the store."""

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
    """The stock model and ours, with the same weights."""
    torch.manual_seed(0)
    known = FAMILIES[family][0]()
    architecture = {name: value for name, value in architecture.items() if hasattr(known, name)}
    stock = Trainer(Stock(family, architecture, frozen), False, device)
    ours = SpeechBackbone(family, Weights(None), frozen, architecture=architecture, **QUIET)
    ours.model.load_state_dict(stock.model["backbone"].model.state_dict())
    return {"stock": stock, "ours": Trainer(ours, True, device)}


def model(family: str, kind: str) -> tuple[dict, bool]:
    """The architecture that a kind of device takes, and whether its feature encoder is frozen.

    A GPU's is the large one, its encoder frozen as in the paper; a CPU's is what conf/backbone says of the tiny one.
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


def steps(name: str, sides: Sides, clips: int) -> Figures:
    """Training steps of so many clips of 6 s, and the share of the device's matrix speed that they reach."""
    device = sides["ours"].device
    batch = full_batch(device, clips)
    figures = in_turn(
        lambda: sides["stock"].step(batch), lambda: sides["ours"].step(batch), device, ROUNDS[device.type]
    )
    with FlopCounterMode(display=False) as counter:
        sides["stock"].step(batch)
    operations, ceiling = counter.get_total_flops(), matrix_speed(device)
    figures |= {"clips": clips, "operations": operations, "ceiling_gflops": ceiling / 1e9}
    for side in sides:
        figures[f"{side}_mfu"] = operations / (figures[f"{side}_ms"] / 1000) / ceiling
    print(
        f"step of {clips} x 6 s, {name}: stock takes {figures['ratio']:.2f} x our time; MFU "
        f"{100 * figures['stock_mfu']:.0f} and {100 * figures['ours_mfu']:.0f} % of {ceiling / 1e9:.0f} GFLOP/s",
        flush=True,
    )
    return figures


def matrix_speed(device: torch.device) -> float:
    """Operations a second of a large matrix product: bf16 on a GPU, float32 on a CPU."""
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / statistics.median(seconds(lambda: a @ b, device) for _ in range(20))


def epochs(
    name: str, sides: Sides, corpus: Corpus, batch_size: int, rounds: int, workers: int = 0, warm_up: int = 0
) -> Figures:
    """Whole epochs of both sides, in turn; making the batches is in, by so many of stock's loader workers."""
    device = sides["ours"].device
    batches = {side: _batches(side, corpus, batch_size, device, workers) for side in sides}
    if workers:
        for _ in batches["stock"]:  # which starts them; they stay
            pass

    def epoch(side: str) -> None:
        for batch in batches[side]:
            sides[side].step(batch)

    for trainer in sides.values():
        trainer.step(full_batch(device, 2))
    figures = in_turn(lambda: epoch("stock"), lambda: epoch("ours"), device, rounds, warm_up)
    stock = f"stock with {workers} loader workers" if workers else "stock"
    print(f"epoch of {name}, batches of {batch_size}: {stock} takes {figures['ratio']:.2f} x our time", flush=True)
    return {**figures, "stock_workers": workers}


def _batches(
    side: str, corpus: Corpus, batch_size: int, device: torch.device, workers: int = 0
) -> "OurBatches | DataLoader[Batch]":
    if side == "ours":
        return OurBatches(corpus.part, batch_size, device)
    return stock_loader(corpus.paths, corpus.part.labels, batch_size, workers)


def sampled_epoch(name: str, sides: Sides, corpus: Corpus, batch_size: int, sample: int) -> Figures:
    """An epoch reckoned from some batches of each side, evenly spaced by size; sides take turns batch by batch."""
    device = sides["ours"].device
    times, clips, chosen = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0), {}
    for side, trainer in sides.items():
        trainer.step(full_batch(device, 1))
        start = clock(device)
        drawn = sorted(_batches(side, corpus, batch_size, device), key=lambda batch: batch.waveform.numel())
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


def data_path(corpus: Corpus) -> Figures:
    """An epoch's batches from 48 kHz files, against the store."""

    def ours() -> None:
        for items in TrainBatches(corpus.part.labels, corpus.part.lengths, 64, False, None, 0):
            corpus.part.__getitems__(items)

    def stock() -> None:
        for start in range(0, len(corpus.paths), 64):
            clips = [torch.from_numpy(read(path)) for path in corpus.paths[start : start + 64]]
            nn.utils.rnn.pad_sequence(clips, batch_first=True)

    figures = in_turn(stock, ours, torch.device("cpu"), rounds=3)
    print(f"data path: 48 kHz files take {figures['ratio']:.0f} x the store's time", flush=True)
    return figures


def ebm(trainer: Trainer, clips: int) -> Figures:
    """Clips of 6 s on the device, against numpy; and as a share of a training step of as many."""
    device, step = trainer.device, full_batch(trainer.device, clips)
    batch = replace(step, partner=step.waveform.flip(0), partner_lengths=step.lengths)
    arrays = list(zip(batch.waveform.cpu().numpy(), batch.partner.cpu().numpy(), strict=True))
    rng, here, ours = np.random.default_rng(0), torch.Generator(device).manual_seed(0), EnergyBasedMixup()
    figures = in_turn(lambda: [mix(*pair, rng) for pair in arrays], lambda: ours(batch, here), device, 9)
    share = 1 / in_turn(lambda: trainer.step(step), lambda: ours(batch, here), device, 3)["ratio"]
    print(f"EBM: numpy takes {figures['ratio']:.1f} x our time, which is {100 * share:.2f} % of a step", flush=True)
    return {**figures, "share_of_step": share}


def prediction(ours: Trainer, corpus: Corpus) -> Figures:
    """Clips to probabilities, against transformers' audio-classification pipeline at the better of two batch sizes.

    Both begin at 16 kHz: the pipeline at files that soundfile reads, ours at the store. On a GPU ours is in bf16
    autocast, and the pipeline's whole model in bf16.
    """
    device = ours.device
    config = transformers.WavLMConfig(**model("wavlm", device.type)[0], **QUIET, num_labels=4)
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    pipe = transformers.pipeline(
        "audio-classification",
        model=transformers.WavLMForSequenceClassification(config).to(kind).eval(),  # which one made here is not in
        feature_extractor=transformers.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True),
        device=device,
    )
    paths = corpus.paths[: PREDICTED[device.type]]

    def stock(batch_size: int) -> None:
        clips = ({"raw": read(path), "sampling_rate": RATE} for path in paths)
        for _ in pipe(clips, batch_size=batch_size):
            pass

    def predict() -> None:
        with torch.inference_mode(), half_precision(device):
            for items in EvaluationBatches(corpus.part.lengths[: len(paths)], 16):
                ours.logits(corpus.part.__getitems__(items).to(device))[0].softmax(1).tolist()

    ours.model.eval()
    each = {size: in_turn(lambda size=size: stock(size), predict, device, 2) for size in (1, 16)}
    ours.model.train()
    best = min(each, key=lambda size: each[size]["stock_ms"])
    print(f"prediction: the pipeline (batches of {best}) takes {each[best]['ratio']:.2f} x our time", flush=True)
    return {**each[best], "stock_batch_size": best, "clips": len(paths)}


def child(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(CHILD), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def first_step(folder: Path) -> Figures:
    """From an empty process to the end of the first training step, the (synthetic) corpus prepared before.

    Stock is a bare script without configuration, checks and files of results.
    """
    os.environ["SEENET_CACHE"] = str(folder)
    child("first", "ours", str(folder))  # makes the corpus
    figures = in_turn(
        lambda: child("first", "stock", str(folder)),
        lambda: child("first", "ours", str(folder)),
        torch.device("cpu"),
        rounds=2,
        warm_up=0,
    )
    print(f"first step: a bare script takes {figures['ratio']:.2f} x our time", flush=True)
    return figures


def memory(device: torch.device) -> Figures:
    """Peak memory of a process that takes two steps of 64 x 6 s, or of as many clips as fit the device both ways."""
    clips, found = 128, {"stock": math.inf}
    while math.inf in found.values():
        clips //= 2
        found = {side: float(child("memory", side, device.type, str(clips))) for side in ("stock", "ours")}
    ratio = found["stock"] / found["ours"]
    print(f"peak memory, {clips} x 6 s: stock takes {ratio:.2f} x ours, {found['ours']:.2f} GiB", flush=True)
    return {"ratio": ratio, "clips": clips, **{f"{side}_peak_gib": gib for side, gib in found.items()}}


def take_quick() -> None:
    """Take the smaller numbers of `--quick`."""
    for kind, numbers in QUICK.items():
        CLIPS[kind], PREDICTED[kind], ROUNDS[kind], EPOCHS[kind] = numbers


def measured(setting: str, quick: bool = False) -> Iterator[tuple[str, object]]:
    """The sections of a setting, one after the other; the reading of files, which no GPU changes, is the last."""
    device = torch.device("cuda" if setting == "gpu" else "cpu")
    machine = torch.cuda.get_device_name() if setting == "gpu" else f"{platform.machine()} CPU"
    yield "benchmark", "speed"
    yield "setting", setting
    yield "quick", quick
    yield "machine", machine
    yield "threads", torch.get_num_threads()
    yield "versions", {"torch": torch.__version__, "transformers": transformers.__version__}
    size = "large" if setting == "gpu" else "tiny"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = Corpus(folder / "16000", RATE, CLIPS[device.type])
        peaks = memory(device)  # before this process has a model on a GPU
        yield "memory", peaks
        clips = peaks["clips"]
        for family in ("wavlm", *(other for other in FAMILIES if other != "wavlm" and not quick)):
            pair = sides(family, *model(family, device.type), device)
            few = 16 if setting == "cpu" and family != "wavlm" else clips
            yield f"step_{family}", steps(f"{family} {size}", pair, few)
            if family == "wavlm":
                yield "ebm", ebm(pair["ours"], clips)
                yield "epoch", epochs(f"wavlm {size}", pair, corpus, clips, EPOCHS[device.type])
                yield "prediction", prediction(pair["ours"], corpus)
                if setting == "gpu":
                    yield "epoch_workers", epochs("wavlm large", pair, corpus, clips, 1, WORKERS)
                    pair["ours"].model["backbone"].compile_layers()
                    yield "step_wavlm_compiled", steps("wavlm large, ours compiled", pair, clips)
                    compiled = epochs("wavlm large, ours compiled", pair, corpus, clips, 1, WORKERS, warm_up=1)
                    yield "epoch_compiled", compiled
            del pair
            gc.collect()  # what was compiled holds itself, and the next would find less memory
        if setting == "cpu" and not quick:
            base = sides("wavlm", {}, True, device)
            yield "epoch_base", sampled_epoch("wavlm base", base, corpus, 8, 2)
            yield "first_step", first_step(folder / "demo")
        yield "data_path", data_path(Corpus(folder / "48000", 48000, CLIPS[device.type]))


def main(setting: str, results: Path, quick: bool = False, seconds: float = math.inf) -> None:
    start, figures = time.perf_counter(), {}
    results.mkdir(parents=True, exist_ok=True)
    for name, found in measured(setting, quick):
        figures[name] = found  # written each time, for the time on a GPU may end before all is measured
        (results / f"speed_{setting}.json").write_text(json.dumps(figures, indent=2) + "\n")
        if time.perf_counter() - start > seconds:
            print(f"{seconds:g} s are used up: no section after '{name}'", flush=True)
            break
    print(json.dumps(figures))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*mismatched key_padding_mask.*")  # stock's own
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("setting", nargs="?", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder of the figures")
    parser.add_argument("--quick", action="store_true", help="fewer clips, rounds and families")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which no section is begun")
    given = parser.parse_args()
    if given.setting == "gpu" and not torch.cuda.is_available():
        parser.error("gpu: torch finds no GPU here")
    if given.quick:
        take_quick()
    main(given.setting, given.results, given.quick, given.seconds)
