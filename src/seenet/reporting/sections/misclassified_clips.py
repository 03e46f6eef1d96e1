"""Section with the audio of the most confident misclassified clips."""

import base64

import numpy as np

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Sound

MAX_CLIPS = 8
HEADING = "Misclassified clips"


def build_misclassified_section(best: ArmMetrics, audio: bool) -> Section:
    """Build the list of the most confident wrong predictions of an arm with their audio.

    Args:
        best: the arm.
        audio: whether the page contains audio.
    """
    if not audio:
        return Section(HEADING, ["The option --no-audio omits this section."])
    clips = []
    for result in best.results:
        rows = result.predictions
        if rows is None:
            continue
        for row in np.flatnonzero(rows["label"] != rows["prediction"]):
            if path := result.find_audio(int(row)):
                clip = rows.iloc[row]
                clips.append((clip[f"p_{clip['prediction']}"], clip, result.fold_and_seed, path))
    clips.sort(key=lambda item: -item[0])
    if not clips:
        return Section(HEADING, ["No run saved audio of misclassified clips (mistakes/ next to predictions.csv)."])
    sounds = [
        Sound(
            f"{clip['utterance']}: {clip['label']}, classified as {clip['prediction']} ({100 * share:.0f} %); "
            f"speaker {clip['speaker'] or 'unknown'}, fold {fold}, seed {seed}",
            "data:audio/mpeg;base64," + base64.b64encode(path.read_bytes()).decode(),
        )
        for share, clip, (fold, seed), path in clips[:MAX_CLIPS]
    ]
    notes = [
        f"The most confident wrong predictions of {best.arm.name}.",
        "This page contains audio. Do not distribute audio of a licensed corpus; create shared pages with --no-audio.",
    ]
    return Section(HEADING, notes, sounds=sounds)
