"""Data: shower files in and out, batches for training, and real Geant4 showers to start with."""

from jaxcalo.data.calochallenge import ShowerFile, open_showers, read_showers
from jaxcalo.data.condition_data import ConditionSpec
from jaxcalo.data.loader import Loader, memory_loader, open_loader, prefetch
from jaxcalo.data.samples import SAMPLES, sample_path
from jaxcalo.data.shower_writer import ShowerWriter
from jaxcalo.data.showers import Showers

__all__ = [
    "SAMPLES",
    "ConditionSpec",
    "Loader",
    "ShowerFile",
    "ShowerWriter",
    "Showers",
    "memory_loader",
    "open_loader",
    "open_showers",
    "prefetch",
    "read_showers",
    "sample_path",
]
