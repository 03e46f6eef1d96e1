"""Checks of everything that depends on the device; each prints its figures as JSON and fails outside its tolerance.

On a machine without a GPU the same checks run on the CPU, with the same small sizes, so that the flow is tested.
`benchmarks/gpu.sh` runs each in a process of its own; tests/test_cuda.py runs them where pytest finds a GPU.

Usage: python benchmarks/gpu_checks.py CHECK --results FOLDER
"""

import argparse
import csv
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from seenet.data.batch import Batch
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone

FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")
SMALL = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "conv_dim": [32] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LENGTHS = (32000, 9000, 24000, 17000)
TRAIN = ("trainer.max_epochs=2", "dataset.speakers=6", "dataset.clips=4", "data.batch_size=8", "fold=0")
DROPOUTS = ("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop")


class Figures(dict[str, Any]):
    """Figures of a check, written at each change, so that a check that is cut off still gives those it had.

    Args:
        path: of the JSON file, or None to write none.
        about: the fields that stand before the figures.
    """

    def __init__(self, path: Path | None = None, about: dict[str, Any] | None = None):
        self.path, self.about, self.failures = path, about or {}, []
        self.write(passed=None)

    def add(self, name: str, value: Any) -> None:
        """Note a figure."""
        self[name] = value
        self.write(passed=None)

    def within(self, name: str, value: float, limit: float) -> None:
        """Note a figure that must not exceed its tolerance; the check continues, so that all its figures are kept."""
        if not value <= limit:  # NaN too
            self.failures.append(f"{name}: {value:.3g}, tolerance {limit:g}")
        self.add(name, value)

    def write(self, passed: bool | None, **more: Any) -> None:
        """Write the file; `passed` is None while the check is not over."""
        if self.path is not None:
            record = {**self.about, "passed": passed, "figures": self, "failures": self.failures, **more}
            self.path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference by the largest expected value."""
    found, expected = found.detach().float().cpu(), expected.detach().float().cpu()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def noise(device: torch.device) -> Batch:
    """Clips of noise with zeros behind the shorter ones, and other noise as partners."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor(LENGTHS)
    waveform, partner = (0.1 * torch.randn(len(LENGTHS), max(LENGTHS), generator=generator) for _ in range(2))
    valid = torch.arange(max(LENGTHS)) < lengths[:, None]
    count = torch.arange(len(LENGTHS))
    batch = Batch(waveform * valid, lengths, count % 4, count, count % 2, count)
    return replace(batch, partner=partner * valid, partner_lengths=lengths).to(device)


def backbone(family: str, device: torch.device, **settings: Any) -> SpeechBackbone:
    """A small encoder without dropout, of the same random weights each time."""
    torch.manual_seed(0)
    quiet = dict.fromkeys((*DROPOUTS, "mask_time_prob", "mask_feature_prob"), 0.0)
    architecture = {**SMALL, "activation_dropout": 0.0}
    return SpeechBackbone(family, Weights(None), architecture=architecture, **{**quiet, **settings}).to(device)


def forward_backward(model: SpeechBackbone, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The valid frames, and all gradients of a fixed sum of them, in one vector."""
    frames, mask = model(batch.waveform, batch.lengths)
    frames = frames[mask]
    direction = torch.linspace(-1, 1, frames.numel(), device=frames.device).view_as(frames)
    model.zero_grad()
    (frames.float() * direction).mean().backward()
    gradients = [p.grad.flatten().float() for _, p in sorted(model.named_parameters()) if p.grad is not None]
    return frames, torch.cat(gradients)


def machine(device: torch.device) -> dict[str, Any]:
    """Hardware and versions, which every JSON carries."""
    packages = ("transformers", "lightning", "numpy")
    about = {"machine": platform.machine(), "python": platform.python_version(), "device": device.type}
    about["versions"] = {"torch": torch.__version__, **{name: version(name) for name in packages}}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about |= {"gpu": properties.name, "memory_gib": properties.total_memory / 2**30, "cuda": torch.version.cuda}
        about |= {"capability": f"{properties.major}.{properties.minor}", "bf16": torch.cuda.is_bf16_supported()}
        if shutil.which("nvidia-smi"):
            query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
            about["driver"] = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    return about


def environment(device: torch.device, figures: Figures) -> None:
    """A matrix product on the device is right."""
    a, b = (torch.randn(256, 256, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in range(2))
    figures.within("matrix_product", relative_error((a.to(device) @ b.to(device)), a @ b), 1e-6)
    figures.add("c_compiler", shutil.which("gcc") or shutil.which("cc") or shutil.which("clang"))  # torch.compile's


def loader(device: torch.device, figures: Figures) -> None:
    """Batches that a thread prefetches to the device are those of a loader on the CPU, to the byte."""
    import numpy as np

    from seenet.corpora.synthetic.corpus import read
    from seenet.corpora.waveform_store import open_store
    from seenet.data.batch_sampler import TrainBatches
    from seenet.data.dataset import FoldPart
    from seenet.data.loader import Loader

    manifest = read(speakers=4, clips=4, emotions="four")
    part = FoldPart(manifest, open_store(manifest, 6.0), np.arange(len(manifest)), ("happy", "neutral", "sad", "angry"))
    passes = []
    for place in (device, torch.device("cpu")):
        batches = TrainBatches(part.labels, part.lengths, 8, True, "uniform", 0)
        passes.append(list(Loader(part, batches, place)))
    names = ("waveform", "lengths", "labels", "indices", "partner", "partner_lengths")
    for here, there in zip(*passes, strict=True):
        assert here.waveform.device.type == device.type
        for name in names:
            assert torch.equal(getattr(here, name).cpu(), getattr(there, name)), name
    figures.add("batches", len(passes[0]))


def augmentation(device: torch.device, figures: Figures) -> None:
    """EBM's two forms are equal and have the drawn energy ratio; the same draws give the same clips on the CPU."""
    from seenet.data.augmentation import ebm
    from seenet.data.augmentation.gaussian_noise import GaussianSNR
    from seenet.data.augmentation.mixup import Mixup
    from seenet.data.augmentation.pitch_shift import PitchShift
    from seenet.data.augmentation.time_stretch import TimeStretch

    batch, mix = noise(device), ebm.EnergyBasedMixup()
    draws = mix.draw(batch, torch.Generator(device).manual_seed(0))
    power = [ebm.mean_power(batch.waveform, batch.lengths), ebm.mean_power(batch.partner, batch.partner_lengths)]
    scale = (power[0] / power[1]).sqrt() * 10.0 ** (-draws.ratio_db.float() / 20)
    at_once = ebm._mix_vectorized(batch, draws, scale)
    host = batch.to(torch.device("cpu"))
    drawn = ebm.EbmDraws(**{name: value.cpu() for name, value in vars(draws).items()})
    one_by_one = ebm._mix_clip_by_clip(host, drawn, scale.cpu())
    figures.within("ebm_forms", relative_error(at_once, one_by_one), 1e-6)
    mixed = mix.apply(batch, draws).waveform
    added = mixed - batch.waveform
    errors = []
    for k, length in enumerate(draws.length.tolist()):
        if length > 4000:  # a shorter piece of noise has another energy than its clip
            begin, first = int(draws.start[k]), int(draws.partner_start[k])
            piece = batch.partner[k, first : first + length]
            realised = 10 * math.log10(float(power[0][k] / (added[k, begin : begin + length].square().mean())))
            wanted = float(draws.ratio_db[k]) - 10 * math.log10(float(piece.square().mean() / power[1][k]))
            errors.append(abs(realised - wanted))
    figures.within("ebm_ratio_db", max(errors), 0.01)
    for kind in (Mixup, GaussianSNR, TimeStretch, PitchShift):
        step = kind(probability=1.0)
        draws = step.draw(batch, torch.Generator(device).manual_seed(0))
        changed = step.apply(batch, draws).waveform
        assert changed.device.type == device.type
        drawn = type(draws)(**{name: value.cpu() for name, value in vars(draws).items()})
        on_cpu = step.apply(host, drawn).waveform
        # The vocoder adds up phases of many frames.
        figures.within(
            kind.__name__, relative_error(changed, on_cpu), 1e-2 if kind in (TimeStretch, PitchShift) else 1e-5
        )


def attention(device: torch.device, figures: Figures) -> None:
    """Sdpa, transformers' own and flex against eager: outputs and gradients on padded batches, for every family.

    In float32, and sdpa in bf16 autocast too. Flex comes last, because it is compiled.
    """
    batch, expected = noise(device), {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for family in FAMILIES:
        expected[family] = forward_backward(backbone(family, device, attention="eager"), batch)
    for form in ("sdpa", "stock", "sdpa_bf16", "flex"):
        for family in FAMILIES:
            model = backbone(family, device, attention=form.removesuffix("_bf16"))
            half = form.endswith("_bf16")
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                found = forward_backward(model, batch)
            limits = (0.1, 0.3) if half else (1e-4, 1e-3)
            for name, ours, theirs, limit in zip(
                ("outputs", "gradients"), found, expected[family], limits, strict=True
            ):
                figures.within(f"{family}_{form}_{name}", relative_error(ours, theirs), limit)


def masking(device: torch.device, figures: Figures) -> None:
    """SpecAugment drawn on the device masks its share of the valid frames and none of the padding."""
    from seenet.models.backbones.spec_augment import draw_spans

    torch.manual_seed(0)
    lengths = torch.tensor([500, 100], device=device).repeat(200)
    masked = torch.stack([draw_spans(lengths, 600, 0.065, 10, 2) for _ in range(5)]).float()
    padding = torch.arange(600, device=device) >= lengths[:, None]
    assert not masked[:, padding].any()
    # Spans overlap by chance, so that fewer frames are masked than 0.065 of them times the span.
    share = float(masked[:, ::2, :500].mean())
    figures.add("share", share)
    figures.within("difference", abs(share - 0.0633), 0.005)


def train_tiny(folder: Path, device: torch.device, *options: str) -> Path:
    """Train and test wavlm_tiny on the synthetic corpus for two epochs, as seenet-train does; the fold's folder."""
    from hydra import compose, initialize_config_dir

    from seenet.core.paths import conf_dir
    from seenet.training.run import run_experiment

    kind = "gpu" if device.type == "cuda" else "cpu"
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        options = (*TRAIN, f"trainer={kind}", "trainer.compile=false", *options, f"output_dir={folder}")
        cfg = compose("train", overrides=list(options))
    (result,) = run_experiment(cfg)
    return result.parent


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def precision(device: torch.device, figures: Figures) -> None:
    """Two epochs of wavlm_tiny in bf16 and fp16 against float32, same draws: losses differ by rounding alone."""
    quiet = [f"backbone.{name}=0" for name in DROPOUTS]  # which draws other numbers for other types
    kinds = ("32-true", "bf16-mixed", *(["16-mixed"] if device.type == "cuda" else []))
    losses = {}
    with tempfile.TemporaryDirectory() as name:
        for kind in kinds:
            fold = train_tiny(Path(name, kind), device, f"trainer.precision={kind}", *quiet)
            rows = rows_of(fold / "curves.csv")
            losses[kind] = [float(row[column]) for row in rows for column in ("fit_loss", "dev_loss")]
            figures.add(f"losses_{kind}", losses[kind])
            # 16-mixed skips steps while it looks for the scale of its gradients.
            pairs = zip(losses[kind], losses["32-true"], strict=True)
            figures.within(f"difference_{kind}", max(abs(a - b) for a, b in pairs), 0.1)
    if device.type == "cpu":
        figures.add("16-mixed", "skipped: needs a GPU")


def memory(device: torch.device, figures: Figures) -> None:
    """Train with what a GPU alone takes: the batch that fits, checkpointing, clipped gradients and masks."""
    settings = (
        "data.batch_size=auto",
        "backbone.checkpointing=true",
        "trainer.gradient_clip_val=1",
        "optim.fused=false",
    )
    masks = ("backbone.mask_time_prob=0.1", "backbone.mask_feature_prob=0.1", "backbone.layerdrop=0.1")
    augmentations = ("aug=[ebm,speed,pitch,gaussian_snr]",)
    with tempfile.TemporaryDirectory() as name:
        fold = train_tiny(Path(name), device, *settings, *masks, *augmentations)
        figures.add("losses", [float(row["fit_loss"]) for row in rows_of(fold / "curves.csv")])


def waiting(device: torch.device, figures: Figures) -> None:
    """No step of augmentation, forward, backward and optimiser waits for the device."""
    if device.type == "cpu":
        figures.add("skipped", "needs a GPU: a CPU never waits")
        return
    from seenet.data.augmentation.ebm import EnergyBasedMixup

    batch, mix = noise(device), EnergyBasedMixup()
    generator = torch.Generator(device).manual_seed(0)
    for family in FAMILIES:
        masks = {"mask_time_prob": 0.1, "mask_feature_prob": 0.1}
        model = backbone(family, device, hidden_dropout=0.1, attention_dropout=0.1, **masks).train()
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)

        def step(model: SpeechBackbone = model, optimizer: torch.optim.Optimizer = optimizer) -> None:
            with torch.autocast("cuda", torch.bfloat16):
                mixed = mix(batch, generator)
                frames, mask = model(mixed.waveform, mixed.lengths)
                loss = torch.where(mask[..., None], frames.float(), 0).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        step()  # libraries start
        torch.cuda.set_sync_debug_mode("error")
        try:
            step()
            figures.add(family, "does not wait")
        except RuntimeError as error:
            figures.failures.append(f"{family}: {error}")
            figures.add(family, "".join(traceback.format_exception(error))[-2000:])
        finally:
            torch.cuda.set_sync_debug_mode("default")


class Interrupted(BaseException):
    """Stands for a kill."""


def resume(device: torch.device, figures: Figures) -> None:
    """A training that is interrupted in mid-epoch and resumed ends as an uninterrupted one, dropout included."""
    from seenet.training.checkpoints import AtomicCheckpointIO

    save, written = AtomicCheckpointIO.save_checkpoint, []

    def interrupt(self: Any, *arguments: Any, **options: Any) -> None:
        save(self, *arguments, **options)
        written.append(arguments)
        if len(written) == 2:
            raise Interrupted

    with tempfile.TemporaryDirectory() as name:
        each_step = "trainer.checkpoint_minutes=1e-9"
        with mock.patch.object(AtomicCheckpointIO, "save_checkpoint", interrupt):
            try:
                train_tiny(Path(name, "interrupted"), device, each_step)
            except Interrupted:
                (last,) = Path(name).rglob("last.ckpt")
                figures.add("interrupted_at_step", torch.load(last, map_location="cpu")["global_step"])
            else:
                raise AssertionError("the training was not interrupted")
        folds = [train_tiny(Path(name, which), device, each_step) for which in ("interrupted", "direct")]
        # To the byte on a CPU; on a GPU fused attention adds gradients in any order.
        limit = 0.0 if device.type == "cpu" else 0.05
        columns = ("fit_loss", "dev_loss")
        curves = [[float(row[c]) for row in rows_of(fold / "curves.csv") for c in columns] for fold in folds]
        figures.within("loss_difference", max(abs(a - b) for a, b in zip(*curves, strict=True)), limit)
        resumed, direct = (rows_of(fold / "clean" / "predictions.csv") for fold in folds)
        assert [row["utterance"] for row in resumed] == [row["utterance"] for row in direct]
        columns = [column for column in direct[0] if column.startswith("p_")]
        differences = [abs(float(x[c]) - float(y[c])) for x, y in zip(resumed, direct, strict=True) for c in columns]
        figures.within("probability_difference", max(differences), limit)


def compilation(device: torch.device, figures: Figures) -> None:
    """torch.compile gives the same outputs and gradients, and compiles no further graph for other lengths."""
    from torch._dynamo.utils import counters

    batch = noise(device)
    expected = forward_backward(backbone("wavlm", device, attention="sdpa"), batch)
    compiled = backbone("wavlm", device, attention="sdpa")
    counters.clear()
    compiled.compile_layers()
    found = forward_backward(compiled, batch)
    figures.within("outputs", relative_error(found[0], expected[0]), 1e-3)
    figures.within("gradients", relative_error(found[1], expected[1]), 1e-2)
    first = counters["stats"]["unique_graphs"]
    figures.add("graphs", first)
    for cut in (30000, 21000, 27000):
        lengths = batch.lengths.clamp(max=cut)
        forward_backward(compiled, replace(batch, waveform=batch.waveform[:, :cut], lengths=lengths))
    more = counters["stats"]["unique_graphs"] - first
    figures.within("graphs_for_other_lengths", more, first)
    figures.within("graph_breaks", sum(counters["graph_break"].values()), 0)


CHECKS: dict[str, Callable[[torch.device, Figures], None]] = {
    check.__name__: check
    for check in (
        environment, loader, augmentation, masking, attention, precision, resume, waiting, memory, compilation
    )
}  # fmt: skip


def main(name: str, results: Path) -> int:
    """Run a check and write its JSON; return the exit code."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    figures = Figures(results / f"check_{name}.json", {"check": name, **machine(device)})
    try:
        CHECKS[name](device, figures)
    except Exception as error:
        traceback.print_exc()
        figures.failures.append(f"{type(error).__name__}: {error}"[:2000])
    passed, seconds = not figures.failures, round(time.perf_counter() - start, 2)
    figures.write(passed, seconds=seconds)
    for failure in figures.failures:
        print(failure)
    first = "" if passed else f": {figures.failures[0].splitlines()[0]}"
    print(f"{'passed' if passed else 'FAILED'} {name} on {device.type} ({seconds} s){first}")
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--results", type=Path, required=True, help="folder of the JSON files")
    given = parser.parse_args()
    os.environ.setdefault("SEENET_CACHE", str(Path(tempfile.gettempdir(), "seenet-gpu-checks")))
    sys.exit(main(given.check, given.results))
