"""Photons in the crystal matrix with the two-dimensional U-Net.

jaxcalo train experiments/ecal_crystals_unet.py --out runs/ecal_unet --data ecal_photon_train.h5
"""

import dataclasses
import runpy
from pathlib import Path

from jaxcalo.experiment import UNetNet

transformer = runpy.run_path(str(Path(__file__).with_name("ecal_crystals_dit.py")))["experiment"]
experiment = dataclasses.replace(transformer, net=UNetNet(channels=(16, 32, 32)))
