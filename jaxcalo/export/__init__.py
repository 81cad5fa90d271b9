"""A trained sampler as a file that runs without this package: StableHLO, and ONNX for Geant4."""

from jaxcalo.export.onnx import export_onnx
from jaxcalo.export.pure_sampler import BATCH, Port, PureSampler
from jaxcalo.export.stablehlo import export_stablehlo

__all__ = ["BATCH", "Port", "PureSampler", "export_onnx", "export_stablehlo"]
