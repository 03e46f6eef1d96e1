"""Stock training, the reference of the benchmarks: models of transformers, numpy clip by clip."""

from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from seenet.data.batch import Batch

RATE, SECONDS = 16000, 6.0
QUIET = {"layerdrop": 0.0, "mask_time_prob": 0.0}  # they would make steps differ


class Stock(nn.Module):
    """An unchanged model of transformers."""

    def __init__(self, family: str, architecture: dict, frozen: bool):
        # Imported here because the bare script of child.py needs no seenet model.
        from seenet.models.backbones.checkpoint_loading import encoder_classes

        super().__init__()
        make_config, make = encoder_classes(family)
        self.model = make(make_config(**architecture, **QUIET))
        self.dim = self.model.config.hidden_size
        if frozen:
            self.model.feature_extractor._freeze_parameters()

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        samples = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
        output = self.model(waveform, attention_mask=samples.long()).last_hidden_state
        frames = self.model._get_feat_extract_output_lengths(lengths)
        return output, torch.arange(output.shape[1], device=waveform.device) < frames[:, None]


def mix(clip: np.ndarray, partner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply EBM to one clip with numpy."""
    length = rng.integers(0, len(clip) // 2 + 1)
    start = rng.integers(0, len(clip) - length + 1)
    begin = rng.integers(0, max(0, len(partner) - length) + 1)
    length = min(length, len(partner))
    scale = np.sqrt(np.mean(clip**2) / (10 ** (rng.integers(-5, 6) / 10) * np.mean(partner**2)))
    mixed = clip.copy()
    mixed[start : start + length] += (scale * partner[begin : begin + length]).astype(np.float32)
    return mixed


def read(path: Path) -> np.ndarray:
    """Read the first seconds of a file at 16 kHz."""
    rate = soundfile.info(path).samplerate
    wave, _ = soundfile.read(path, frames=int(SECONDS * rate), dtype="float32")
    return wave if rate == RATE else soxr.resample(wave, rate, RATE)


class Clips(Dataset):
    """Audio files, each read and mixed with another on access, as in the dataset of the original."""

    def __init__(self, paths: list[Path], labels: Tensor):
        self.paths, self.labels = paths, labels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, k: int) -> tuple[int, Tensor, Tensor]:
        rng = np.random.default_rng()
        partner = read(self.paths[rng.integers(len(self.paths))])
        return k, self.labels[k], torch.from_numpy(mix(read(self.paths[k]), partner, rng))


def collate(items: list[tuple[int, Tensor, Tensor]]) -> Batch:
    """Pad clips to the longest."""
    rows, labels, clips = zip(*items, strict=True)
    rows, lengths = torch.tensor(rows), torch.tensor([len(clip) for clip in clips])
    return Batch(nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths, torch.stack(labels), rows, rows, rows)


def stock_loader(paths: list[Path], labels: Tensor, batch_size: int, workers: int = 0) -> DataLoader[Batch]:
    """Return a loader of random batches, read and mixed clip by clip, here or in persistent worker processes."""
    options = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": torch.cuda.is_available()}
    generator = torch.Generator().manual_seed(0)
    return DataLoader(
        Clips(paths, labels), batch_size, shuffle=True, generator=generator, collate_fn=collate, **options
    )
