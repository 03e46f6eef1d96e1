"""Effect of the optional speed-ups on quality: UA of the demo over seeds, with and without them.

All other settings are equal; both sides run one after the other and take twenty minutes on two cores. Rounding and the
order of batches differ, so single runs differ. The means must not differ by more than their spread over seeds. The
corpus is synthetic: no scientific result.

Usage: python benchmarks/quality.py [SEEDS]
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

SIDES = {
    "on": (),
    "off": ("data.bucketed=false", "backbone.attention=stock", "backbone.fast_layers=false", "optim.fused=false"),
}


def uas(folder: Path) -> list[float]:
    """Return the UA of each seed in percent, the mean over its folds."""
    folds: dict[int, list[float]] = defaultdict(list)
    for path in folder.glob("*/fold*/*/result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        folds[result["seed"]].append(100 * result["metrics"]["ua"])
    return [statistics.mean(folds[seed]) for seed in sorted(folds)]


def main(seeds: int) -> None:
    figures: dict[str, object] = {"benchmark": "quality", "seeds": seeds}
    means = {}
    with tempfile.TemporaryDirectory() as place:
        for side, settings in SIDES.items():
            command = [sys.executable, "-m", "seenet.cli.train", "-m", "seed=" + ",".join(map(str, range(seeds)))]
            subprocess.run([*command, f"output_dir={place}/{side}", "sweep.report=false", *settings], check=True)
            found = uas(Path(place) / side)
            means[side], spread = statistics.mean(found), statistics.stdev(found)
            print(f"speed-ups {side}: UA {means[side]:.1f} ± {spread:.1f} % over {len(found)} seeds", flush=True)
            figures[side] = {"ua": found, "mean": means[side], "sd": spread}
    figures["difference"] = means["on"] - means["off"]
    results = Path(__file__).parent / "results"
    (results / "quality.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
