"""Settings that backbones of transformers have in common."""

from typing import Any

import transformers

from seenet.core.errors import SeenetError

_OF_A_FILE = ("_name_or_path", "architectures", "transformers_version")


def select_shares(**shares: float | None) -> dict[str, float]:
    """Return the shares that are set.

    Raises:
        SeenetError: one is outside [0, 1].
    """
    selected = {name: value for name, value in shares.items() if value is not None}
    for name, value in selected.items():
        if not 0 <= value <= 1:
            raise SeenetError(f"backbone.{name}={value}: expected 0 to 1")
    return selected


def portable_architecture(config: transformers.PreTrainedConfig) -> dict[str, Any]:
    """Return the settings of a configuration that rebuild the architecture without its checkpoint."""
    known = type(config)()
    settings = {name: value for name, value in config.to_dict().items() if hasattr(known, name)}
    return {name: value for name, value in settings.items() if name not in _OF_A_FILE}
