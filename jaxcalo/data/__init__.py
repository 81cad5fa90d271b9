"""Data: shower files in and out, batches for training, and real Geant4 showers to start with."""

from jaxcalo.data.calochallenge import ShowerFile, ShowerWriter, open_showers, read_showers
from jaxcalo.data.loader import Loader, memory_loader, open_loader, prefetch
from jaxcalo.data.samples import SAMPLES, sample_path
from jaxcalo.data.showers import Showers

__all__ = [
    "SAMPLES",
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
