"""The config: one typed tree, defaults in one place, unknown keys refused.

Importing this loads pydantic and nothing heavier: the command answers `--help` at once.
"""

from tasks.config.base import Execution, Section
from tasks.config.clean import CleanConfig
from tasks.config.corpus import Source
from tasks.config.engine import EngineConfig, LaunchConfig
from tasks.config.evaluate import BlimpConfig, EvaluateConfig, HeldOutConfig, PublishConfig
from tasks.config.model import ModelSection
from tasks.config.pack import PackConfig
from tasks.config.pretrain import PretrainConfig
from tasks.config.root import Config
from tasks.config.tokenizer import TokenizerConfig

__all__ = [
    "BlimpConfig",
    "CleanConfig",
    "Config",
    "EngineConfig",
    "EvaluateConfig",
    "Execution",
    "HeldOutConfig",
    "LaunchConfig",
    "ModelSection",
    "PackConfig",
    "PretrainConfig",
    "PublishConfig",
    "Section",
    "Source",
    "TokenizerConfig",
]
