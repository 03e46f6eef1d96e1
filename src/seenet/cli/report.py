"""`seenet-report`: from results to a page, tables and figures."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from seenet.cli.hydra_app import EXPECTED, WANTS_TRACEBACK, make_output_encodable
from seenet.core.errors import one_line


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says.

    Args:
        words: after the command; None takes the program's own.
    """
    parser = argparse.ArgumentParser(
        prog="seenet-report",
        description="One self-contained HTML page, CSV and LaTeX tables and PNG and PDF figures, from results alone.",
        epilog="docs/report.md says what each part means.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="runs, sweeps, or all of outputs/")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: report/ in the first folder")
    parser.add_argument("--baseline", metavar="ARM", help="whom the other arms are compared with, e.g. 'aug=none'")
    parser.add_argument("--no-audio", action="store_true", help="a page without sound, to pass on")
    return parser.parse_args(words)


def main() -> None:
    """Write a report; see `seenet-report --help`."""
    make_output_encodable()
    given = arguments()
    output = given.output or given.folders[0] / "report"
    try:
        from seenet.reporting.html_report import write_report  # heavy, and not needed for --help

        page = write_report(given.folders, output, given.baseline, audio=not given.no_audio)
    except EXPECTED as error:
        if WANTS_TRACEBACK:
            raise
        print(f"seenet: error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    print(page)


if __name__ == "__main__":
    main()
