"""Time and peak memory for a manifest of a million clips: reading, folds, audit and sampling of an epoch.

The seconds depend on the machine; the peak memory hardly does.

Usage: python benchmarks/scale.py [ROWS]
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROWS, SPEAKERS, FOLDS, BATCH = 1_000_000, 2000, 5, 64
EMOTIONS = np.array(["happy", "neutral", "sad", "angry", "no_agreement"])


def write(path: Path, rows: int) -> None:
    from seenet.corpora.manifest import Manifest, write_manifest

    rng = np.random.default_rng(0)
    speakers = rng.integers(0, SPEAKERS, rows)
    table = pd.DataFrame(
        {
            "utterance": [f"PODCAST_{k:07d}" for k in range(rows)],
            "path": [f"Audios/PODCAST_{k:07d}.wav" for k in range(rows)],
            "emotion": EMOTIONS[rng.integers(0, len(EMOTIONS), rows)],
            "speaker": [f"speaker{k}" for k in speakers],
            "gender": np.array(["female", "male"])[speakers % 2],
            "language": "en",
            "text": [f"text of clip {k}" for k in range(rows)],
            "valence": rng.uniform(1, 7, rows),
        }
    )
    write_manifest(Manifest("big", path.parent, table).table, path)


def main(path: Path) -> dict[str, float]:
    """Measure all steps from the manifest to the first batch, without audio."""
    start = time.perf_counter()
    seconds = {}

    def lap(name: str) -> None:
        seconds[name] = time.perf_counter() - start
        print(f"{name:10s} after {seconds[name]:6.2f} s", flush=True)

    from seenet.corpora.folds import make_folds
    from seenet.corpora.leak_audit import audit_leaks
    from seenet.corpora.manifest import Manifest, read_manifest
    from seenet.corpora.protocols import Strict
    from seenet.corpora.split_schemes import SpeakerFolds

    manifest = Manifest("big", path.parent, read_manifest(path))
    manifest.digest()
    lap("opened")
    classes = tuple(EMOTIONS[:4])
    indices = np.flatnonzero(manifest.table["emotion"].isin(classes))
    protocol = Strict()
    folds = make_folds(manifest, indices, SpeakerFolds(FOLDS), protocol)
    lap("folded")
    for fold in folds:
        audit_leaks(manifest, np.arange(len(manifest)), fold, protocol)
    lap("audited")
    from seenet.data.batch_sampler import TrainBatches
    from seenet.data.dataset import FoldPart

    part = FoldPart(manifest, None, folds[0].train, classes)
    lengths = np.arange(len(part)) % 96000
    drawn = sum(len(batch) for batch in TrainBatches(part.labels, lengths, BATCH, True, "uniform", 0))
    lap("sampled")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {**seconds, "clips": len(manifest), "drawn": drawn, "peak_gib": memory}


if __name__ == "__main__":
    if len(sys.argv) > 2:  # the measured process: memory excludes the creation of the table
        print(json.dumps({"benchmark": "scale", **main(Path(sys.argv[2]))}))
    else:
        import subprocess

        rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "manifest.csv"
            write(table, rows)
            subprocess.run([sys.executable, __file__, str(rows), str(table)], check=True)
