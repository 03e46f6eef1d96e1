"""Section on speakers: UA of each speaker."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seenet.evaluation.scores import classification_scores
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.figure_export import save_figure
from seenet.reporting.formatting import format_percent
from seenet.reporting.report_plots import plot_speaker_scores
from seenet.reporting.sections import MAX_PLOTTED_ARMS, note_hidden_arms

MAX_LISTED_SPEAKERS = 8


def build_speakers_section(arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section:
    """Build the figure of UA by speaker and the table of the speakers with the lowest UA."""
    scores = {}
    for arm in arms:
        if arm.speakers:
            names, counts = arm.speakers
            scores[arm.arm.name] = pd.Series(classification_scores(counts)["ua"], index=names)
    if not scores:
        return Section("Speakers", ["The corpus does not name all speakers."])
    picture = save_figure(
        plot_speaker_scores(dict(list(scores.items())[:MAX_PLOTTED_ARMS])),
        folder,
        f"{prefix}speakers",
        "UA of each speaker, over the classes of which the speaker has clips.",
        "UA by speaker and arm; the table below lists the lowest",
    )
    table = pd.DataFrame(scores).rename_axis(index="speaker")
    lowest = table.loc[table.mean(axis=1).nsmallest(MAX_LISTED_SPEAKERS).index].reset_index()
    text = lowest.assign(**{name: lowest[name].map(format_percent) for name in scores})
    caption = f"The {len(lowest)} speakers with the lowest UA % on average over the arms, of {len(table)}."
    tables = [Table(f"{prefix}speakers", caption, lowest, text, {name: name for name in scores})]
    return Section("Speakers", note_hidden_arms(arms), [picture], tables)
