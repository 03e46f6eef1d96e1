"""Speed of seenet compared with stock training, in one run.

Stock does what the original does: models and attention of transformers, files read and mixed clip by clip with numpy,
random batches, no loader workers. On a GPU both sides use bf16 autocast, and an epoch of stock with loader workers is
also measured. Both sides alternate on the same clips of noise, with the quantiles of IEMOCAP's lengths, cropped at 6 s.
The results are ratios: the median over rounds of stock's time divided by ours. `cpu` takes three to five minutes on two
cores; `gpu` measures the large models. MFU: the operations that FlopCounterMode counts in a step of the stock model,
per second, divided by the speed of a large matrix product on the same device (float32 on a CPU, bf16 on a GPU).

`--quick` uses fewer clips and rounds and only WavLM; `--seconds` starts no section after that time.

Usage: python benchmarks/speed.py [cpu | gpu] [--results FOLDER] [--quick] [--seconds N]
"""

import argparse
import gc
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as seenet-train does, for both sides
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import numpy as np
import torch
import transformers
from sides import (
    Corpus,
    Figures,
    Sides,
    Trainer,
    full_batch,
    half_precision,
    in_turn,
    make_batches,
    matrix_speed,
    model,
    sampled_epoch,
    sides,
)
from stock import QUIET, RATE, mix, read
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from seenet.data.augmentation.ebm import EnergyBasedMixup
from seenet.data.batch_sampler import EvaluationBatches, TrainBatches

PAPER_FAMILIES = ("wavlm", "wav2vec2", "hubert", "data2vec-audio")
CLIPS = {"cpu": 320, "cuda": 2048}  # clips of the corpus
PREDICTED = {"cpu": 64, "cuda": 512}  # clips for prediction
ROUNDS = {"cpu": 3, "cuda": 10}  # rounds of steps
EPOCHS = {"cpu": 3, "cuda": 2}  # rounds of epochs
QUICK = {"cpu": (32, 8, 1, 1), "cuda": (512, 128, 3, 1)}  # the four numbers above for `--quick`
QUICK_BATCH = 32  # clips per batch for `--quick`, which measures memory last: its processes take minutes
WORKERS = min(8, os.cpu_count() or 1)  # loader workers of stock, if any
CHILD = Path(__file__).with_name("child.py")


def steps(name: str, sides: Sides, clips: int) -> Figures:
    """Time training steps of `clips` clips of 6 s and compute their share of the device's matrix speed."""
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


def epochs(
    name: str, sides: Sides, corpus: Corpus, batch_size: int, rounds: int, workers: int = 0, warm_up: int = 0
) -> Figures:
    """Time epochs of both sides, including the batches; `workers` is the number of loader workers of stock."""
    device = sides["ours"].device
    batches = {side: make_batches(side, corpus, batch_size, device, workers) for side in sides}
    if workers:
        for _ in batches["stock"]:  # starts the persistent workers
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


def data_path(corpus: Corpus) -> Figures:
    """Time the batches of an epoch from 48 kHz files and from the store."""

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
    """Time EBM on the device and with numpy, also as a share of a training step with as many clips."""
    device, step = trainer.device, full_batch(trainer.device, clips)
    batch = replace(step, partner=step.waveform.flip(0), partner_lengths=step.lengths)
    arrays = list(zip(batch.waveform.cpu().numpy(), batch.partner.cpu().numpy(), strict=True))
    rng, here, ours = np.random.default_rng(0), torch.Generator(device).manual_seed(0), EnergyBasedMixup()
    figures = in_turn(lambda: [mix(*pair, rng) for pair in arrays], lambda: ours(batch, here), device, 9)
    share = 1 / in_turn(lambda: trainer.step(step), lambda: ours(batch, here), device, 3)["ratio"]
    print(f"EBM: numpy takes {figures['ratio']:.1f} x our time, which is {100 * share:.2f} % of a step", flush=True)
    return {**figures, "share_of_step": share}


def prediction(ours: Trainer, corpus: Corpus) -> Figures:
    """Time prediction and the audio-classification pipeline of transformers at the better of two batch sizes.

    Both start at 16 kHz: the pipeline from files read with soundfile, ours from the store. On a GPU ours uses bf16
    autocast, and the model of the pipeline is in bf16.
    """
    device = ours.device
    config = transformers.WavLMConfig(**model("wavlm", device.type)[0], **QUIET, num_labels=4)
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    pipe = transformers.pipeline(
        "audio-classification",
        model=transformers.WavLMForSequenceClassification(config).to(kind).eval(),  # a new model is not
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
    """Run benchmarks/child.py and return its output."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(CHILD), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def first_step(folder: Path) -> Figures:
    """Time from process start to the end of the first training step, with the synthetic corpus prepared.

    Stock is a bare script without configuration, checks and output files.
    """
    os.environ["SEENET_CACHE"] = str(folder)
    child("first", "ours", str(folder))  # prepares the corpus
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
    """Measure peak memory of two steps with 64 clips of 6 s, or with as many as fit the device on both sides."""
    clips, found = 128, {"stock": math.inf}
    while math.inf in found.values():
        clips //= 2
        found = {side: float(child("memory", side, device.type, str(clips))) for side in ("stock", "ours")}
    ratio = found["stock"] / found["ours"]
    print(f"peak memory, {clips} x 6 s: stock takes {ratio:.2f} x ours, {found['ours']:.2f} GiB", flush=True)
    return {"ratio": ratio, "clips": clips, **{f"{side}_peak_gib": gib for side, gib in found.items()}}


def apply_quick() -> None:
    """Apply the smaller numbers of `--quick`."""
    for kind, numbers in QUICK.items():
        CLIPS[kind], PREDICTED[kind], ROUNDS[kind], EPOCHS[kind] = numbers


def measured(setting: str, quick: bool = False) -> Iterator[tuple[str, object]]:
    """Yield the sections of a setting; reading of files, the same on every GPU, is the last."""
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
        clips = QUICK_BATCH
        if not quick:
            peaks = memory(device)  # before this process allocates GPU memory
            yield "memory", peaks
            clips = peaks["clips"]
        for family in PAPER_FAMILIES[: 1 if quick else None]:
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
            gc.collect()  # compiled modules contain reference cycles and would keep their memory
        if setting == "cpu" and not quick:
            base = sides("wavlm", {}, True, device)
            yield "epoch_base", sampled_epoch("wavlm base", base, corpus, 8, 2)
            yield "first_step", first_step(folder / "demo")
        if quick:
            yield "memory", memory(device)
        yield "data_path", data_path(Corpus(folder / "48000", 48000, CLIPS[device.type]))


def main(setting: str, results: Path, quick: bool = False, seconds: float = math.inf) -> None:
    start, figures = time.perf_counter(), {}
    results.mkdir(parents=True, exist_ok=True)
    for name, found in measured(setting, quick):
        figures[name] = found  # written after each section: time on a GPU may end early
        (results / f"speed_{setting}.json").write_text(json.dumps(figures, indent=2) + "\n")
        if time.perf_counter() - start > seconds:
            print(f"{seconds:g} s have passed: no section after '{name}'", flush=True)
            break
    print(json.dumps(figures))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*mismatched key_padding_mask.*")  # from the stock model
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("setting", nargs="?", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder of the figures")
    parser.add_argument("--quick", action="store_true", help="fewer clips, rounds and families")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no section after this time")
    arguments = parser.parse_args()
    if arguments.setting == "gpu" and not torch.cuda.is_available():
        parser.error("gpu: torch finds no GPU")
    if arguments.quick:
        apply_quick()
    main(arguments.setting, arguments.results, arguments.quick, arguments.seconds)
