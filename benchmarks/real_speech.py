"""Results on real speech: baselines and a frozen encoder on EMO-DB and RAVDESS, and the page docs/real_speech.md.

`run` trains every arm that `results/real_speech.json` lacks through the console command and adds its figures. `collect`
reads the folds of the tuned encoder that a folder of outputs holds, and packs them for another machine. `page`
writes the page from `results/`. The corpora are no part of the project.

Usage: python benchmarks/real_speech.py run CORPUS FOLDER ENCODER [--work FOLDER] | collect OUTPUTS | page
"""

import argparse
import csv
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seenet.runs.environment import versions

RESULTS = Path(__file__).parent / "results"
FIGURES, TUNED = RESULTS / "real_speech.json", RESULTS / "emodb_tuned.json"
EXPLORED, TIMES = RESULTS / "recipe_exploration.json", RESULTS / "real_speech_time.json"
PAGE = Path(__file__).parents[1] / "docs" / "real_speech.md"

CORPORA = {
    "emodb": (
        "EMO-DB, 7 emotions, leave one speaker out",
        "A public copy that cuts each clip to 2.0 s, without one truncated file: its figures do not compare with "
        "published ones.",
    ),
    "ravdess": (
        "RAVDESS, 8 emotions, folds luna5",
        "All 1440 clips. The paper reports 80.6 % for SeeNet with WavLM large (317 million parameters), trained on "
        "GPUs, with the epoch selected on the test fold. Here the encoder has 8 million parameters, is not trained, "
        "and each test fold is used once. The default recipe is no better here than the script in the section on time.",
    ),
}
PACKED = ("result.json", "trained.json", "curves.csv", "predictions.csv", "dev_predictions.csv", "bad_files.csv")
"""Files of a run that a report and a resumed sweep need."""

WHISPER = "backbone=whisper_tiny"
ARMS = {
    "the most frequent class": "backbone=loudness_pitch head=majority",
    "level and pitch, SVM": "backbone=loudness_pitch head=svm",
    "functionals, SVM": "backbone=functionals head=svm",
    "frozen Whisper tiny.en (default recipe)": WHISPER,
    "the same, SVM": f"{WHISPER} head=svm",
    "the same, one logistic regression on all layers": f"{WHISPER} head.by_layer=false",
    "the same, equal weights of frames": f"{WHISPER} pooling.range_db=null",
    "the same, with the input of the first layer": f"{WHISPER} backbone.layers=all",
    "the same, normalised by speaker (transductive)": f"{WHISPER} head.normalize=speaker",
    "the same, linear head by gradient": f"{WHISPER} head=linear",
    "the same, perceptron (head=mlp)": f"{WHISPER} head=mlp",
    "the same, two copies of each training clip with EBM": f"{WHISPER} aug=ebm aug.copies=2",
}
"""Settings of each arm, added to `tune=none`."""

OTHER_FOLDS = {
    "emodb": {"default recipe, five folds of two speakers": f"{WHISPER} dataset.folds=speakers5"},
    "ravdess": {"default recipe, the folds of Sun et al. 2024": f"{WHISPER} dataset.folds=hicmae6"},
}
"""Arms with other folds than the table's title says."""


def run(corpus: str, root: Path, encoder: Path, work: Path) -> None:
    """Train and test every arm that the file lacks for a corpus, and add its figures."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
    for number, (name, settings) in enumerate({**OTHER_FOLDS[corpus], **ARMS}.items()):
        if name in figures.setdefault(corpus, {}):
            continue
        own = [*settings.split(), *([f"backbone.path={encoder}"] if WHISPER in settings else [])]
        output = work / corpus / str(number)
        command = ["seenet.cli.train", f"dataset={corpus}", f"dataset.root={root}", "dataset.on_bad_file=quarantine"]
        memory = peak_memory([*command, "tune=none", *own, f"output_dir={output}"])
        peak_memory(["seenet.cli.report", str(output)])
        with (output / "report/tables/leaderboard.csv").open(newline="", encoding="utf-8") as file:
            (scores,) = csv.DictReader(file)
        arm = {"settings": settings, "peak_gib": memory, "scores": scores}
        machine = f"{platform.machine()} CPU, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads"
        figures[corpus][name] = {**arm, "machine": machine, "versions": versions()}
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        print(f"{corpus}, {name}: UA {100 * float(scores['ua']):.1f} %", flush=True)


def peak_memory(module: list[str]) -> float:
    """Run a module of Python; return its peak memory in GiB."""
    process = subprocess.Popen([sys.executable, "-m", *module], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(module)} failed")
    return round(usage.ru_maxrss / 2**20, 2)


def collect(outputs: Path) -> None:
    """Add the tested folds of a folder of outputs to the figures of the tuned encoder, and pack their small files."""
    tuned = json.loads(TUNED.read_text(encoding="utf-8"))
    arms = {(arm["aug"], arm["aux_task"], arm["seed"]): arm for arm in tuned["arms"]}
    for path in sorted(outputs.glob("*/fold*/clean/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        with (path.parents[1] / "curves.csv").open(newline="", encoding="utf-8") as file:
            scores = {int(row["epoch"]): float(row["dev_ua"]) for row in csv.DictReader(file)}
        arms[result["aug"], result["aux_task"], result["seed"]]["folds"][str(result["fold"])] = {
            "test_ua": round(result["metrics"]["ua"], 4),
            "dev_ua": round(scores[result["best_epoch"]], 4),
            "best_epoch": result["best_epoch"],
            "seconds": round(result["seconds"], 1),
            "device": result["device"],
        }
    tuned["device"] = ", ".join(sorted({fold["device"] for arm in arms.values() for fold in arm["folds"].values()}))
    TUNED.write_text(json.dumps(tuned, indent=1) + "\n", encoding="utf-8")
    with tarfile.open(TUNED.with_suffix(".tar.xz"), "w:xz") as archive:
        for path in sorted(outputs.glob("*/**/*")):
            if path.name in PACKED:
                content = without_paths(path.read_text(encoding="utf-8")).encode()
                member = tarfile.TarInfo(f"outputs/{path.relative_to(outputs)}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def without_paths(text: str) -> str:
    """Replace the folders of a machine in a result by their last part."""
    return re.sub(r'"(?:/[^/"\n]+)+/([^/"\n]*)"', r'"\1"', text)


def percent(scores: dict[str, str], name: str) -> str:
    """Return a score in percent with one decimal."""
    return f"{100 * float(scores[name]):.1f}"


def rows_of_corpus(arms: dict[str, Any]) -> Iterable[str]:
    """Yield the rows of the table of a corpus."""
    yield "| arm | UA % | pooled UA % | 95 % interval | WA % | memory GiB | settings |"
    yield "|---|---|---|---|---|---|---|"
    others = {name: settings for folds in OTHER_FOLDS.values() for name, settings in folds.items()}
    for name in (each for each in {**ARMS, **others} if each in arms):
        arm, scores = arms[name], arms[name]["scores"]
        interval = f"{percent(scores, 'ua_low')} to {percent(scores, 'ua_high')}"
        yield (
            f"| {name} | {percent(scores, 'ua')} ± {percent(scores, 'ua_std')} | {percent(scores, 'ua_pooled')} | "
            f"{interval} | {percent(scores, 'wa')} | {arm['peak_gib']:.1f} | "
            f"`{arm['settings']}` |"
        )


def rows_of_times(times: dict[str, Any]) -> Iterable[str]:
    """Yield the table of times."""
    yield "| corpus | seenet | script | ratio | UA % of the script |"
    yield "|---|---|---|---|---|"
    for corpus, seconds in times["seconds"].items():
        ours, script = seconds["seenet"], seconds["script"]
        ua = 100 * times["script_ua"][corpus]
        yield f"| {corpus} | {ours:.0f} s | {script:.0f} s | {ours / script:.2f} | {ua:.1f} |"


def rows_of_second_commands(second: dict[str, Any]) -> Iterable[str]:
    """Yield the table of the times of commands that read features from the cache."""
    yield f"| command | {' | '.join(CORPORA)} |"
    yield "|---|---|---|"
    for name, seconds in second["seconds"].items():
        yield f"| {name} | {' | '.join(f'{seconds[corpus]:.0f} s' for corpus in CORPORA)} |"


def rows_of_explored(explored: dict[str, Any]) -> Iterable[str]:
    """Yield the table of the variants that were compared on development speakers."""
    yield "| variant | RAVDESS | EMO-DB | mean | C |"
    yield "|---|---|---|---|---|"
    for row in explored["variants"]:
        mean, c = (row["ravdess"] + row["emodb"]) / 2, "–" if row["c"] is None else f"{row['c']:g}"
        yield f"| {row['variant']} | {row['ravdess']:.1f} | {row['emodb']:.1f} | {mean:.1f} | {c} |"


def rows_of_tuned(tuned: dict[str, Any]) -> Iterable[str]:
    """Yield the table of the tuned encoder over the folds that every arm and seed has."""
    common = sorted(set.intersection(*(set(arm["folds"]) for arm in tuned["arms"])))
    yield f"| aug | aux_task | seeds | UA % of folds {', '.join(common)} | of each seed | trained folds |"
    yield "|---|---|---|---|---|---|"
    for chosen in sorted({(arm["aug"], arm["aux_task"]) for arm in tuned["arms"]}, reverse=True):
        arms = [arm for arm in tuned["arms"] if (arm["aug"], arm["aux_task"]) == chosen]
        means = [100 * statistics.mean(arm["folds"][fold]["test_ua"] for fold in common) for arm in arms]
        each, folds = ", ".join(f"{mean:.1f}" for mean in means), sum(len(arm["folds"]) for arm in arms)
        yield (
            f"| {chosen[0]} | {chosen[1]} | {len(arms)} | "
            f"{statistics.mean(means):.1f} ± {statistics.stdev(means):.1f} | {each} | {folds} of 30 |"
        )


def rows_of_pilot(tuned: dict[str, Any]) -> Iterable[str]:
    """Yield the table of the modes that were compared on development speakers."""
    candidates = [
        *tuned["pilot"],
        *(a for a in tuned["arms"] if (a["aug"], a["aux_task"], a["seed"]) == ("none", "none", 0)),
    ]
    common = sorted(set.intersection(*(set(arm["folds"]) for arm in candidates)))
    yield f"| tune | learning rate | UA % of the development parts of folds {', '.join(common)} |"
    yield "|---|---|---|"
    for arm in candidates:
        mean = statistics.mean(arm["folds"][fold]["dev_ua"] for fold in common)
        yield f"| {arm['tune']} | {arm['lr']:g} | {100 * mean:.1f} |"


INTRODUCTION = """# Results on real speech

<!-- Generated: python benchmarks/real_speech.py page -->

Measured through `seenet-train tune=none dataset=… dataset.root=FOLDER` with the settings of each row, protocol
`strict`, seed 0. The encoder is that of Whisper tiny.en (`backbone.path=FOLDER`). UA is the mean over test folds ±
standard deviation; the interval of the pooled UA is over speakers ([reports](report.md)). The recipe was chosen
on development speakers ([pretrained encoders](frozen.md))."""

TIMES_TITLE = """## Time

{about}"""

EXPLORED_TITLE = """## How the recipe was chosen

{about}"""

EXPLORED_END = """The best mean is half a point above the recipe's, for four or eight times the work of the encoder:
the recipe did not change. `aug.copies` adds copies with seenet's augmentations."""

TUNED_TITLE = """## The tuned encoder on EMO-DB

{about} Device: {device}. The modes were compared on development speakers alone:"""

TUNED_ARMS = """The chosen mode with EBM and SEE. The runs are incomplete: a test of significance needs every fold of
every arm. So far no arm differs from another by more than its spread over seeds."""

TUNED_END = """`benchmarks/results/emodb_tuned.tar.xz` holds the results by fold. Extracted next to `outputs/`, the same
commands reuse them: `seenet-train -m dataset=emodb backbone=whisper_tiny tune=last:2 optim.lr=3e-4 schedule=linear
trainer.max_epochs=20 trainer.precision=32-true aug=none,ebm aux_task=none,see seed=0,1,2`."""


def build_page() -> str:
    """Return the page in Markdown."""
    figures, tuned, explored, times = (
        json.loads(path.read_text(encoding="utf-8")) for path in (FIGURES, TUNED, EXPLORED, TIMES)
    )
    parts = [INTRODUCTION]
    for corpus, (title, remark) in CORPORA.items():
        if corpus in figures:
            machines = sorted({arm["machine"] for arm in figures[corpus].values()})
            table = "\n".join(rows_of_corpus(figures[corpus]))
            parts += [f"## {title}", remark, table, f"Machine: {', '.join(machines)}."]
    parts += [TIMES_TITLE.format(**times), "\n".join(rows_of_times(times))]
    parts += [times["second"]["about"], "\n".join(rows_of_second_commands(times["second"]))]
    parts += [EXPLORED_TITLE.format(**explored), "\n".join(rows_of_explored(explored))]
    parts += [explored["later"]["about"], "\n".join(rows_of_explored(explored["later"])), EXPLORED_END]
    parts += [TUNED_TITLE.format(**tuned), "\n".join(rows_of_pilot(tuned)), TUNED_ARMS]
    parts += ["\n".join(rows_of_tuned(tuned)), TUNED_END]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("page", help="write docs/real_speech.md")
    collector = commands.add_parser("collect", help="gather the folds of the tuned encoder")
    collector.add_argument("outputs", type=Path, help="folder of the outputs of the sweep")
    runner = commands.add_parser("run", help="train and test every arm on a corpus")
    runner.add_argument("corpus", choices=sorted(CORPORA))
    runner.add_argument("root", type=Path, help="folder of the corpus")
    runner.add_argument("encoder", type=Path, help="folder of the encoder")
    runner.add_argument("--work", type=Path, help="folder of the runs; a temporary one by default")
    arguments = parser.parse_args()
    if arguments.command == "collect":
        collect(arguments.outputs)
    elif arguments.command == "page":
        PAGE.write_text(build_page(), encoding="utf-8")
    else:
        with tempfile.TemporaryDirectory() as temporary:
            run(arguments.corpus, arguments.root, arguments.encoder, arguments.work or Path(temporary))


if __name__ == "__main__":
    main()
