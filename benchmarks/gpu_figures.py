"""Figures, inputs and trainings that the GPU checks share."""

import csv
import json
import math
import platform
import shutil
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
    """Figures of a check, written at each change: an interrupted check keeps those it has.

    Args:
        path: the JSON file; None: no file.
        about: fields written before the figures.
    """

    def __init__(self, path: Path | None = None, about: dict[str, Any] | None = None):
        self.path, self.about, self.failures = path, about or {}, []
        self.write(passed=None)

    def add(self, name: str, value: Any) -> None:
        """Add a figure."""
        self[name] = value
        self.write(passed=None)

    def add_limited(self, name: str, value: float, limit: float) -> None:
        """Add a figure and record a failure if it exceeds its limit; the check continues."""
        if not value <= limit:  # also NaN
            self.failures.append(f"{name}: {value:.3g}, tolerance {limit:g}")
        self.add(name, value)

    def write(self, passed: bool | None, **more: Any) -> None:
        """Write the file; `passed` is None until the check ends."""
        if self.path is not None:
            record = {**self.about, "passed": passed, "figures": self, "failures": self.failures, **more}
            self.path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference divided by the largest expected value."""
    found, expected = found.detach().float().cpu(), expected.detach().float().cpu()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def noise(device: torch.device) -> Batch:
    """Return a padded batch of noise with other noise as partners."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor(LENGTHS)
    waveform, partner = (0.1 * torch.randn(len(LENGTHS), max(LENGTHS), generator=generator) for _ in range(2))
    valid = torch.arange(max(LENGTHS)) < lengths[:, None]
    count = torch.arange(len(LENGTHS))
    batch = Batch(waveform * valid, lengths, count % 4, count, count % 2, count)
    return replace(batch, partner=partner * valid, partner_lengths=lengths).to(device)


def backbone(family: str, device: torch.device, **settings: Any) -> SpeechBackbone:
    """Build a small encoder without dropout and with the same random weights each time."""
    torch.manual_seed(0)
    quiet = dict.fromkeys((*DROPOUTS, "mask_time_prob", "mask_feature_prob"), 0.0)
    architecture = {**SMALL, "activation_dropout": 0.0}
    return SpeechBackbone(family, Weights(None), architecture=architecture, **{**quiet, **settings}).to(device)


def forward_backward(model: SpeechBackbone, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the valid frames and, in one vector, all gradients of a fixed weighted sum of them."""
    frames, mask = model(batch.waveform, batch.lengths)
    frames = frames[mask]
    direction = torch.linspace(-1, 1, frames.numel(), device=frames.device).view_as(frames)
    model.zero_grad()
    (frames.float() * direction).mean().backward()
    gradients = [p.grad.flatten().float() for _, p in sorted(model.named_parameters()) if p.grad is not None]
    return frames, torch.cat(gradients)


def machine(device: torch.device) -> dict[str, Any]:
    """Describe hardware and versions for every JSON file."""
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


def train_tiny(folder: Path, device: torch.device, *options: str) -> Path:
    """Train and test wavlm_tiny for two epochs as seenet-train does; return the folder of the fold."""
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
    """Read the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def ebm_ratio_errors(batch: Batch, draws: Any, mixed: Batch, power: list[torch.Tensor]) -> list[float]:
    """Return by how many dB the realised energy ratio of each mixed clip differs from the drawn one.

    Args:
        batch: clips and partners before mixing.
        draws: the draws of EBM.
        mixed: the batch after mixing.
        power: mean power of clips and of partners. Shape (batch,) each.
    """
    added, errors = mixed.waveform - batch.waveform, []
    for k, length in enumerate(draws.length.tolist()):
        if length > 4000:  # the energy of a shorter segment differs too much from that of its clip
            begin, first = int(draws.start[k]), int(draws.partner_start[k])
            segment = batch.partner[k, first : first + length]
            realised = 10 * math.log10(float(power[0][k] / (added[k, begin : begin + length].square().mean())))
            wanted = float(draws.ratio_db[k]) - 10 * math.log10(float(segment.square().mean() / power[1][k]))
            errors.append(abs(realised - wanted))
    return errors
