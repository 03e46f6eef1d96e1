"""`seenet-data`: look at a corpus before training on it."""

import sys
from collections.abc import Callable

from omegaconf import DictConfig

from seenet.cli.hydra_app import make_output_encodable, run_app, run_or_exit

USAGE = "seenet-data check | prepare | show | manifest  dataset=NAME [dataset.root=FOLDER …]; --help says more"


def _job(command: str) -> Callable[[DictConfig], None]:
    def job(cfg: DictConfig) -> None:
        from seenet.cli import data_commands  # heavy, and not needed for --help

        if not run_or_exit(cfg, getattr(data_commands, command)):
            sys.exit(1)

    return job


def main() -> None:
    """Check, prepare, show or list a corpus; see `seenet-data --help`."""
    make_output_encodable()
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("check", "prepare", "show", "manifest"):
        command = sys.argv.pop(1)
    elif arguments and arguments[0].startswith("-"):
        command = "check"  # --help, --cfg and the like are answered before any job runs
    else:
        said = f"'{arguments[0]}' is no command" if arguments else "say what to do"
        print(f"seenet: error: {said}; expected {USAGE}", file=sys.stderr)
        sys.exit(1)
    sys.exit(run_app(_job(command), "data", groups=("dataset",)))


if __name__ == "__main__":
    main()
