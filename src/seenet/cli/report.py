"""`seenet-report`: a page, tables and figures from results."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from seenet.cli.hydra_app import EXPECTED_ERRORS, WANTS_TRACEBACK, make_output_encodable
from seenet.core.errors import one_line


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        words: arguments; None: those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="seenet-report",
        description="One self-contained HTML page, CSV and LaTeX tables and PNG and PDF figures, from results alone.",
        epilog="docs/report.md explains each part.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="runs, sweeps, or the folder of all")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: report/ in the first folder")
    parser.add_argument("--baseline", metavar="ARM", help="arm to compare the others with, e.g. 'aug=none'")
    parser.add_argument("--no-audio", action="store_true", help="omit the clips from the page, e.g. to publish it")
    return parser.parse_args(words)


def main() -> None:
    """Write a report; `seenet-report --help` explains the arguments."""
    make_output_encodable()
    arguments = parse_arguments()
    output = arguments.output or arguments.folders[0] / "report"
    try:
        from seenet.reporting.html_report import write_report  # slow to import; --help does not need it

        page = write_report(arguments.folders, output, arguments.baseline, audio=not arguments.no_audio)
    except EXPECTED_ERRORS as error:
        if WANTS_TRACEBACK:
            raise
        print(f"seenet: error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    print(page)


if __name__ == "__main__":
    main()
