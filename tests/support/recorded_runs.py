"""Make the recorded runs of tests/recorded/: `python tests/support/recorded_runs.py FOLDER`. Do not make them again.

`test_identity.py` proves with them that later versions reuse what earlier ones trained. Their corpora are computed in
integers, so they are the same bytes on every machine.
"""

import os
import sys
from pathlib import Path

import numpy as np
import soundfile

TINY = (
    *("trainer=cpu", "trainer.max_epochs=1", "fold=0", "data.batch_size=8", "logger=none"),
    *("backbone.architecture.hidden_size=8", "backbone.architecture.num_hidden_layers=1"),
    *("backbone.architecture.num_attention_heads=2", "backbone.architecture.intermediate_size=8"),
    *("backbone.architecture.conv_dim=[8,8]", "backbone.architecture.num_conv_pos_embedding_groups=2"),
)
COMMANDS = {
    "strict_see": (
        *("dataset=csv", "dataset.table=one.csv", "dataset.folds=speakers5", "aux_task=see", "aux_task.width=4"),
        *("aug=[ebm,speed]", "backbone=wavlm_tiny", *TINY),
    ),
    "cross_corpus_paper": (
        *("dataset=csv", "dataset.table=one.csv", "test_dataset={name: csv, as: other, table: two.csv}"),
        *("protocol=paper", "aug=mixup", "aux_task=speaker", "pooling=mean", "backbone=hubert_tiny", *TINY),
    ),
}


def write_corpora(folder: Path) -> None:
    """Write the WAV files and the tables one.csv and two.csv, of square waves, below a folder."""
    for table, speakers in (("one", range(5)), ("two", range(5, 7))):
        rows = ["path,emotion,speaker"]
        for speaker in speakers:
            for number, emotion in enumerate(("happy", "neutral", "sad", "angry")):
                path = folder / f"{table}/{speaker}_{emotion}.wav"
                path.parent.mkdir(exist_ok=True)
                time = np.arange(4000, dtype=np.int64)
                wave = ((time * (7 + speaker + 5 * number) // 400) % 2 * 2 - 1) * (4000 + 1000 * number)
                soundfile.write(path, wave.astype(np.int16), 16000, subtype="PCM_16")
                rows.append(f"{path.relative_to(folder)},{emotion},s{speaker}")
        (folder / f"{table}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def main(target: Path) -> None:
    """Run every command in a folder: `<name>/` holds its outputs, next to the corpora."""
    from hydra import compose, initialize_config_dir

    from seenet.core.paths import conf_dir
    from seenet.training.run import run_experiment

    os.chdir(target)
    write_corpora(Path())
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for name, overrides in COMMANDS.items():
            run_experiment(compose("train", [*overrides, f"output_dir={name}"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
