"""Cost of preparation: the store compared with bare reading and resampling of the same 48 kHz files.

Both alternate in one process; the bare loop uses one core. The results are the ratio of speeds per core, and the size
of the store relative to its audio.

Usage: python benchmarks/prepare.py [CLIPS]
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.waveform_store import open_store

SECONDS, RATE, ROUNDS = 4, 48000, 3


def main(clips: int) -> None:
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {"bare": [], "store": []}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.wav" for k in range(clips)]
        for path in paths:
            soundfile.write(path, rng.normal(0, 0.1, SECONDS * RATE).clip(-1, 1), RATE, subtype="PCM_16")
        manifest = Manifest("bench", Path(folder), [Utterance(p.stem, p.name, "sad") for p in paths])
        for number in range(ROUNDS):  # alternate
            start = time.perf_counter()
            for path in paths:
                wave, _ = soundfile.read(path, dtype="float32")
                soxr.resample(wave, RATE, 16000, quality="HQ")
            times["bare"].append(time.perf_counter() - start)
            os.environ["SEENET_CACHE"] = str(Path(folder) / f"cache{number}")
            start = time.perf_counter()
            store = open_store(manifest, 6.0)
            times["store"].append(time.perf_counter() - start)
        size = sum(path.stat().st_size for path in store.folder.iterdir())
    cores = os.cpu_count() or 1
    audio = clips * SECONDS
    bare, ours = (audio / statistics.median(times[name]) for name in ("bare", "store"))
    print(f"bare:  {bare:.0f} x real time on one core")
    print(f"store: {ours / cores:.0f} x real time per core ({cores} cores, {ours:.0f} x in all)")
    figures = {"bare": bare, "store_per_core": ours / cores, "ratio": ours / cores / bare, "cores": cores}
    print(json.dumps({"benchmark": "prepare", **figures, "size_ratio": size / (audio * 16000 * 2)}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
