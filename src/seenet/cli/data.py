"""`seenet-data`: inspection of a corpus before training."""

import sys
from collections.abc import Callable

from omegaconf import DictConfig

from seenet.cli.hydra_app import make_output_encodable, run_app, run_or_exit

COMMANDS = ("check", "prepare", "show", "manifest")

USAGE = f"seenet-data {' | '.join(COMMANDS)}  dataset=NAME [dataset.root=FOLDER …]; --help shows all settings"


def _job(command: str) -> Callable[[DictConfig], None]:
    def job(cfg: DictConfig) -> None:
        from seenet.cli import data_commands  # slow to import; --help does not need it

        if not run_or_exit(cfg, getattr(data_commands, command)):
            sys.exit(1)

    return job


def main() -> None:
    """Check, prepare, show or list a corpus; `seenet-data --help` explains each."""
    make_output_encodable()
    arguments = sys.argv[1:]
    if arguments and arguments[0] in COMMANDS:
        command = sys.argv.pop(1)
    elif arguments and arguments[0].startswith("-"):
        command = "check"  # Hydra answers --help, --cfg and other flags before it runs a command
    else:
        problem = f"unknown command '{arguments[0]}'" if arguments else "no command given"
        print(f"seenet: error: {problem}; expected {USAGE}", file=sys.stderr)
        sys.exit(1)
    sys.exit(run_app(_job(command), "data", groups=("dataset",)))


if __name__ == "__main__":
    main()
