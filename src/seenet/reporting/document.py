"""What the page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from seenet.reporting.formatting import Table
from seenet.reporting.report_plots import Picture


@dataclass(frozen=True)
class Sound:
    """A clip that can be played.

    Attributes:
        caption: what is heard, and what the model said.
        uri: the MP3 itself.
    """

    caption: str
    uri: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands beneath it, in this order.

    Attributes:
        heading: of the section.
        notes: paragraphs.
        pictures: figures.
        tables: below them.
        sounds: last of all.
    """

    heading: str
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = field(default=())
    sounds: Sequence[Sound] = ()
