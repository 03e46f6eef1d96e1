"""Checks of everything that depends on the device; each prints its figures as JSON and fails outside its tolerance.

On a machine without a GPU the same checks run on the CPU, with the same small sizes, so that the flow is tested.
`benchmarks/gpu.sh` runs each in a process of its own; tests/test_cuda.py runs them where pytest finds a GPU.

Usage: python benchmarks/gpu_checks.py CHECK --results FOLDER
"""

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from seenet.backbone.speech import SpeechBackbone
from seenet.backbone.weights import Weights
from seenet.data.batch import Batch

Figures = dict[str, Any]

FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")
SMALL = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "conv_dim": [32] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LENGTHS = (32000, 9000, 24000, 17000)
TRAIN = ("trainer.max_epochs=2", "dataset.speakers=6", "dataset.clips=4", "data.batch_size=8", "fold=0")


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference by the largest expected value."""
    found, expected = found.detach().float().cpu(), expected.detach().float().cpu()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def require(value: float, limit: float, what: str) -> float:
    """Return a value that must not exceed its tolerance."""
    if not value <= limit:  # NaN too
        raise AssertionError(f"{what}: {value:.3g}, tolerance {limit:g}")
    return value


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
    quiet = {
        name: 0.0 for name in ("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop")
    }
    masks = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    architecture = {**SMALL, "activation_dropout": 0.0}
    return SpeechBackbone(family, Weights(None), architecture=architecture, **{**quiet, **masks, **settings}).to(device)


def forward_backward(model: SpeechBackbone, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The valid frames, and all gradients of a fixed sum of them, in one vector."""
    frames, mask = model(batch.waveform, batch.lengths)
    frames = frames[mask]
    direction = torch.linspace(-1, 1, frames.numel(), device=frames.device).view_as(frames)
    model.zero_grad()
    (frames.float() * direction).mean().backward()
    gradients = [p.grad.flatten().float() for _, p in sorted(model.named_parameters()) if p.grad is not None]
    return frames, torch.cat(gradients)


def environment(device: torch.device) -> Figures:
    """What this machine is."""
    import lightning
    import transformers

    about = {"machine": platform.machine(), "python": platform.python_version(), "device": device.type}
    about["versions"] = {"torch": torch.__version__, "lightning": lightning.__version__}
    about["versions"]["transformers"] = transformers.__version__
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about |= {"gpu": properties.name, "memory_gib": properties.total_memory / 2**30, "cuda": torch.version.cuda}
        about |= {"capability": f"{properties.major}.{properties.minor}", "bf16": torch.cuda.is_bf16_supported()}
    return about


def loader(device: torch.device) -> Figures:
    """Batches that a thread prefetches to the device are those of a loader on the CPU, to the byte."""
    import numpy as np

    from seenet.corpora.synthetic import read
    from seenet.data.dataset import Part
    from seenet.data.loader import Loader
    from seenet.data.sampler import TrainBatches
    from seenet.store import prepare

    manifest = read(speakers=4, clips=4, emotions="four")
    part = Part(manifest, prepare(manifest, 6.0), np.arange(len(manifest)), ("happy", "neutral", "sad", "angry"))
    passes = []
    for place in (device, torch.device("cpu")):
        batches = TrainBatches(part.labels, part.lengths, 8, True, "uniform", 0)
        passes.append(list(Loader(part, batches, place)))
    names = ("waveform", "lengths", "labels", "indices", "partner", "partner_lengths")
    for here, there in zip(*passes, strict=True):
        assert here.waveform.device.type == device.type
        for name in names:
            assert torch.equal(getattr(here, name).cpu(), getattr(there, name)), name
    return {"batches": len(passes[0])}


def augmentation(device: torch.device) -> Figures:
    """EBM's two forms are equal, and its realised energy ratio is the one drawn; every augmentation is finite."""
    from seenet.augment import ebm
    from seenet.augment.gaussian_snr import GaussianSNR
    from seenet.augment.mixup import Mixup
    from seenet.augment.pitch import Pitch
    from seenet.augment.speed import Speed

    batch, mix = noise(device), ebm.EnergyBasedMixup()
    draws = mix.draw(batch, torch.Generator(device).manual_seed(0))
    power = [ebm.power(batch.waveform, batch.lengths), ebm.power(batch.partner, batch.partner_lengths)]
    scale = (power[0] / power[1]).sqrt() * 10.0 ** (-draws.ratio_db.float() / 20)
    at_once = ebm._mixed_at_once(batch, draws, scale)
    host = batch.to(torch.device("cpu"))
    drawn = ebm.Draws(**{name: value.cpu() for name, value in vars(draws).items()})
    one_by_one = ebm._mixed_one_by_one(host, drawn, scale.cpu())
    figures = {"ebm_forms": require(relative_error(at_once, one_by_one), 1e-6, "EBM's forms differ")}
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
    figures["ebm_ratio_db"] = require(max(errors), 0.01, "EBM's energy ratio")
    for kind in (Mixup, GaussianSNR, Speed, Pitch):
        changed = kind()(batch, torch.Generator(device).manual_seed(0)).waveform
        assert changed.device.type == device.type
        assert torch.isfinite(changed).all(), kind.__name__
    return figures


def attention(device: torch.device) -> Figures:
    """Sdpa and flex against eager: outputs and gradients on padded batches, in float32, for every family."""
    figures, batch = {}, noise(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for family in FAMILIES:
        expected = forward_backward(backbone(family, device, attention="eager"), batch)
        for form in ("sdpa", "flex", "stock"):
            found = forward_backward(backbone(family, device, attention=form), batch)
            pairs = zip(("outputs", "gradients"), found, expected, (1e-4, 1e-3), strict=True)
            for name, ours, theirs, limit in pairs:
                key = f"{family}_{form}_{name}"
                figures[key] = require(relative_error(ours, theirs), limit, key)
    return figures


def masking(device: torch.device) -> Figures:
    """SpecAugment drawn on the device masks its share of the valid frames and none of the padding."""
    from seenet.backbone.masking import draw_spans

    torch.manual_seed(0)
    lengths = torch.tensor([500, 100], device=device).repeat(200)
    masked = torch.stack([draw_spans(lengths, 600, 0.065, 10, 2) for _ in range(5)]).float()
    padding = torch.arange(600, device=device) >= lengths[:, None]
    assert not masked[:, padding].any()
    # Spans overlap by chance, so that fewer frames are masked than 0.065 of them times the span.
    share = float(masked[:, ::2, :500].mean())
    return {"share": share, "difference": require(abs(share - 0.0633), 0.005, "share of masked frames")}


def precision(device: torch.device) -> Figures:
    """Twenty steps of wavlm_tiny in bf16 and fp16 autocast against float32: losses differ by rounding alone."""
    from torch.nn import functional as F

    kinds = {"float32": None, "bf16": torch.bfloat16}
    if device.type == "cuda":
        kinds["fp16"] = torch.float16
    batch, losses = noise(device), {}
    for name, kind in kinds.items():
        model = backbone("wavlm", device).train()
        torch.manual_seed(1)
        head = torch.nn.Linear(model.dim, 4).to(device)
        optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=1e-3, fused=device.type == "cuda")
        scaler = torch.amp.GradScaler(device.type, enabled=kind is torch.float16)
        losses[name] = []
        for _ in range(20):
            with torch.autocast(device.type, kind, enabled=kind is not None):
                frames, mask = model(batch.waveform, batch.lengths)
                pooled = (frames * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
                loss = F.cross_entropy(head(pooled).float(), batch.labels)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses[name].append(loss.item())
    assert losses["float32"][-1] < losses["float32"][0]
    largest = {
        f"{name}_loss_difference": require(
            max(abs(a - b) for a, b in zip(values, losses["float32"], strict=True)), 0.05, f"losses in {name}"
        )
        for name, values in losses.items()
        if name != "float32"
    }
    return {**largest, "losses": losses}


class Interrupted(BaseException):
    """Stands for a kill."""


def resume(device: torch.device) -> Figures:
    """A training that is interrupted in mid-epoch and resumed ends as an uninterrupted one."""
    import csv
    from unittest import mock

    from hydra import compose, initialize_config_dir

    from seenet.callbacks import WholeCheckpoints
    from seenet.paths import conf_dir
    from seenet.training import train

    kind = "gpu" if device.type == "cuda" else "cpu"
    save = WholeCheckpoints.save_checkpoint

    def run(folder: Path) -> list[list[str]]:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            options = (*TRAIN, f"trainer={kind}", "trainer.compile=false", "trainer.checkpoint_minutes=1e-9")
            cfg = compose("train", overrides=[*options, f"output_dir={folder}"])
        (result,) = train(cfg)
        with (result / "predictions.csv").open() as file:
            return list(csv.reader(file))[1:]

    with tempfile.TemporaryDirectory() as name:
        written = []

        def interrupt(self: Any, *arguments: Any, **options: Any) -> None:
            save(self, *arguments, **options)
            written.append(arguments)
            if len(written) == 2:
                raise Interrupted

        with mock.patch.object(WholeCheckpoints, "save_checkpoint", interrupt):
            try:
                run(Path(name, "interrupted"))
            except Interrupted:
                pass
            else:
                raise AssertionError("the training was not interrupted")
        resumed, direct = run(Path(name, "interrupted")), run(Path(name, "direct"))
    differences = [
        abs(float(a) - float(b))
        for x, y in zip(resumed, direct, strict=True)
        for a, b in zip(x[4:], y[4:], strict=True)
    ]
    assert [row[:2] for row in resumed] == [row[:2] for row in direct]
    # To the byte on a CPU; on a GPU fused attention adds gradients in any order.
    limit = 0.0 if device.type == "cpu" else 0.05
    return {"probability_difference": require(max(differences), limit, "probabilities after a resume")}


def compilation(device: torch.device) -> Figures:
    """torch.compile gives the same outputs and gradients, with few graphs whatever the lengths."""
    from torch._dynamo.utils import counters

    batch = noise(device)
    expected = forward_backward(backbone("wavlm", device), batch)
    compiled = backbone("wavlm", device)
    counters.clear()
    compiled.compile_layers()
    found = forward_backward(compiled, batch)
    figures = {
        "outputs": require(relative_error(found[0], expected[0]), 1e-3, "compiled outputs"),
        "gradients": require(relative_error(found[1], expected[1]), 1e-2, "compiled gradients"),
    }
    first = counters["stats"]["unique_graphs"]
    for cut in (30000, 21000, 27000):
        lengths = batch.lengths.clamp(max=cut)
        forward_backward(compiled, replace(batch, waveform=batch.waveform[:, :cut], lengths=lengths))
    more = counters["stats"]["unique_graphs"] - first
    return {**figures, "graphs": first, "graphs_for_other_lengths": require(more, 2 * first, "graphs of other lengths")}


CHECKS: dict[str, Callable[[torch.device], Figures]] = {
    check.__name__: check
    for check in (environment, loader, augmentation, attention, masking, precision, resume, compilation)
}


def main(name: str, results: Path) -> int:
    """Run a check and write its JSON; return the exit code."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figures: Figures = {"check": name, "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu"}
    figures["versions"] = {"torch": torch.__version__}
    start = time.perf_counter()
    try:
        figures |= {"passed": True, "figures": CHECKS[name](device)}
    except Exception as error:
        import traceback

        traceback.print_exc()
        figures |= {"passed": False, "error": f"{type(error).__name__}: {error}"[:2000]}
    figures["seconds"] = round(time.perf_counter() - start, 2)
    results.mkdir(parents=True, exist_ok=True)
    (results / f"check_{name}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"{'passed' if figures['passed'] else 'FAILED'} {name} on {figures['device']} ({figures['seconds']} s)")
    return 0 if figures["passed"] else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--results", type=Path, required=True, help="folder of the JSON files")
    given = parser.parse_args()
    os.environ.setdefault("SEENET_CACHE", str(Path(tempfile.gettempdir(), "seenet-gpu-checks")))
    sys.exit(main(given.check, given.results))
