"""Where the recipes that come with the project are."""

from __future__ import annotations

from pathlib import Path

from mmfm.errors import ConfigError


def config_folders() -> list[Path]:
    """The `configs` folders to look in: that of the working folder, then that beside the packages."""
    beside = Path(__file__).resolve().parents[2] / "configs"
    return [folder for folder in (Path("configs"), beside) if folder.is_dir()]


def find_config(relative: str) -> Path:
    """A recipe below `configs`, such as pipeline/demo.yaml. Raises `ConfigError` if there is none."""
    for folder in config_folders():
        if (folder / relative).is_file():
            return folder / relative
    raise ConfigError(
        f"configs/{relative} not found: run mmfm from a checkout of the project, or install with -e"
    )
