"""Data: showers and clouds in and out, batches for training, and real Geant4 showers."""

from jaxcalo.data.calochallenge import ShowerFile, open_showers, read_showers
from jaxcalo.data.cloud_loader import CloudLoader, memory_cloud_loader, open_cloud_loader
from jaxcalo.data.cloud_writer import CloudWriter
from jaxcalo.data.condition_data import ConditionSpec
from jaxcalo.data.four_lepton import (
    LeptonEvents,
    is_four_lepton_file,
    read_four_lepton,
    write_four_lepton,
)
from jaxcalo.data.loader import Loader, memory_loader, open_loader, prefetch
from jaxcalo.data.point_cloud import (
    CloudFile,
    Clouds,
    PaddedClouds,
    is_cloud_file,
    open_clouds,
    pad,
    read_clouds,
    unpad,
)
from jaxcalo.data.samples import SAMPLES, sample_path
from jaxcalo.data.shower_writer import ShowerWriter
from jaxcalo.data.showers import Showers

__all__ = [
    "SAMPLES",
    "CloudFile",
    "CloudLoader",
    "CloudWriter",
    "Clouds",
    "ConditionSpec",
    "LeptonEvents",
    "Loader",
    "PaddedClouds",
    "ShowerFile",
    "ShowerWriter",
    "Showers",
    "is_cloud_file",
    "is_four_lepton_file",
    "memory_cloud_loader",
    "memory_loader",
    "open_cloud_loader",
    "open_clouds",
    "open_loader",
    "open_showers",
    "pad",
    "prefetch",
    "read_clouds",
    "read_four_lepton",
    "read_showers",
    "sample_path",
    "unpad",
    "write_four_lepton",
]
