"""Loggers of Lightning that conf/logger names."""

from typing import Any


def no_logger(save_dir: str) -> Any:
    """Return a Lightning logger that logs nothing (curves.csv needs none).

    Args:
        save_dir: what every logger gets.
    """
    from lightning.pytorch.loggers.logger import DummyLogger

    return DummyLogger()
