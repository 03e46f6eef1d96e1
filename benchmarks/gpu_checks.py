"""Checks of device-dependent parts; each writes its figures as JSON and fails outside its tolerance.

Without a GPU the same checks run on the CPU with the same small sizes. `benchmarks/gpu.sh` runs each in a separate
process; tests/test_cuda.py runs them if pytest finds a GPU.

Usage: python benchmarks/gpu_checks.py CHECK --results FOLDER
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from gpu_figures import (
    DROPOUTS,
    FAMILIES,
    Figures,
    backbone,
    ebm_ratio_errors,
    forward_backward,
    machine,
    noise,
    relative_error,
    rows_of,
    train_tiny,
)

from seenet.models.backbones.transformers_backbone import SpeechBackbone


def environment(device: torch.device, figures: Figures) -> None:
    """Check a matrix product on the device."""
    a, b = (torch.randn(256, 256, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in range(2))
    figures.add_limited("matrix_product", relative_error((a.to(device) @ b.to(device)), a @ b), 1e-6)
    figures.add("c_compiler", shutil.which("gcc") or shutil.which("cc") or shutil.which("clang"))  # torch.compile's


def loader(device: torch.device, figures: Figures) -> None:
    """Check that prefetched batches on the device equal those on the CPU, byte for byte."""
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
    """Check that both forms of EBM agree and realise the drawn ratio, and that all augmentations equal the CPU."""
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
    figures.add_limited("ebm_forms", relative_error(at_once, one_by_one), 1e-6)
    figures.add_limited("ebm_ratio_db", max(ebm_ratio_errors(batch, draws, mix.apply(batch, draws), power)), 0.01)
    for kind in (Mixup, GaussianSNR, TimeStretch, PitchShift):
        step = kind(probability=1.0)
        draws = step.draw(batch, torch.Generator(device).manual_seed(0))
        changed = step.apply(batch, draws).waveform
        assert changed.device.type == device.type
        drawn = type(draws)(**{name: value.cpu() for name, value in vars(draws).items()})
        on_cpu = step.apply(host, drawn).waveform
        # The vocoder accumulates phases over many frames.
        limit = 1e-2 if kind in (TimeStretch, PitchShift) else 1e-5
        figures.add_limited(kind.__name__, relative_error(changed, on_cpu), limit)


def attention(device: torch.device, figures: Figures) -> None:
    """Check outputs and gradients of sdpa, stock and flex against eager, on padded batches of every family.

    All in float32, and sdpa also in bf16 autocast. Flex is the last because it is compiled.
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
                figures.add_limited(f"{family}_{form}_{name}", relative_error(ours, theirs), limit)


def masking(device: torch.device, figures: Figures) -> None:
    """Check that SpecAugment on the device masks its share of valid frames and no padding."""
    from seenet.models.backbones.spec_augment import draw_spans

    torch.manual_seed(0)
    lengths = torch.tensor([500, 100], device=device).repeat(200)
    masked = torch.stack([draw_spans(lengths, 600, 0.065, 10, 2) for _ in range(5)]).float()
    padding = torch.arange(600, device=device) >= lengths[:, None]
    assert not masked[:, padding].any()
    # Spans overlap at random, so the masked share is below 0.065.
    share = float(masked[:, ::2, :500].mean())
    figures.add("share", share)
    figures.add_limited("difference", abs(share - 0.0633), 0.005)


def precision(device: torch.device, figures: Figures) -> None:
    """Check that losses of two epochs in bf16 and fp16 differ from float32 by rounding only."""
    quiet = [f"backbone.{name}=0" for name in DROPOUTS]  # its draws depend on the type
    kinds = ("32-true", "bf16-mixed", *(["16-mixed"] if device.type == "cuda" else []))
    losses = {}
    with tempfile.TemporaryDirectory() as name:
        for kind in kinds:
            fold = train_tiny(Path(name, kind), device, f"trainer.precision={kind}", *quiet)
            rows = rows_of(fold / "curves.csv")
            losses[kind] = [float(row[column]) for row in rows for column in ("fit_loss", "dev_loss")]
            figures.add(f"losses_{kind}", losses[kind])
            # 16-mixed skips steps until it has found a gradient scale.
            pairs = zip(losses[kind], losses["32-true"], strict=True)
            figures.add_limited(f"difference_{kind}", max(abs(a - b) for a, b in pairs), 0.1)
    if device.type == "cpu":
        figures.add("16-mixed", "skipped: needs a GPU")


def memory(device: torch.device, figures: Figures) -> None:
    """Train with GPU settings: automatic batch size, gradient checkpointing, clipping and masks."""
    settings = (
        "data.batch_size=auto",
        "backbone.checkpointing=true",
        "trainer.gradient_clip_val=1",
        "optim.fused=false",
    )
    masks = ("backbone.mask_time_prob=0.1", "backbone.mask_feature_prob=0.1", "backbone.layerdrop=0.1")
    with tempfile.TemporaryDirectory() as name:
        fold = train_tiny(Path(name), device, *settings, *masks, "aug=[ebm,speed,pitch,gaussian_snr]")
        figures.add("losses", [float(row["fit_loss"]) for row in rows_of(fold / "curves.csv")])


def waiting(device: torch.device, figures: Figures) -> None:
    """Check that augmentation, forward pass, backward pass and optimiser do not synchronise with the device."""
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

        step()  # libraries initialise
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
    """A simulated kill."""


def resume(device: torch.device, figures: Figures) -> None:
    """Check that a training resumed within an epoch ends like an uninterrupted one, including dropout."""
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
        limit = 0.0 if device.type == "cpu" else 0.05  # on a GPU fused attention sums gradients in any order
        columns = ("fit_loss", "dev_loss")
        curves = [[float(row[c]) for row in rows_of(fold / "curves.csv") for c in columns] for fold in folds]
        figures.add_limited("loss_difference", max(abs(a - b) for a, b in zip(*curves, strict=True)), limit)
        resumed, direct = (rows_of(fold / "clean" / "predictions.csv") for fold in folds)
        assert [row["utterance"] for row in resumed] == [row["utterance"] for row in direct]
        columns = [column for column in direct[0] if column.startswith("p_")]
        differences = [abs(float(x[c]) - float(y[c])) for x, y in zip(resumed, direct, strict=True) for c in columns]
        figures.add_limited("probability_difference", max(differences), limit)


def compilation(device: torch.device, figures: Figures) -> None:
    """Check that torch.compile keeps outputs and gradients and reuses its graphs for other lengths."""
    from torch._dynamo.utils import counters

    batch = noise(device)
    expected = forward_backward(backbone("wavlm", device, attention="sdpa"), batch)
    compiled = backbone("wavlm", device, attention="sdpa")
    counters.clear()
    compiled.compile_layers()
    found = forward_backward(compiled, batch)
    figures.add_limited("outputs", relative_error(found[0], expected[0]), 1e-3)
    figures.add_limited("gradients", relative_error(found[1], expected[1]), 1e-2)
    first = counters["stats"]["unique_graphs"]
    figures.add("graphs", first)
    for cut in (30000, 21000, 27000):
        lengths = batch.lengths.clamp(max=cut)
        forward_backward(compiled, replace(batch, waveform=batch.waveform[:, :cut], lengths=lengths))
    more = counters["stats"]["unique_graphs"] - first
    figures.add_limited("graphs_for_other_lengths", more, first)
    figures.add_limited("graph_breaks", sum(counters["graph_break"].values()), 0)


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
    arguments = parser.parse_args()
    os.environ.setdefault("SEENET_CACHE", str(Path(tempfile.gettempdir(), "seenet-gpu-checks")))
    sys.exit(main(arguments.check, arguments.results))
