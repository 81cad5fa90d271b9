"""Photons in 11 x 11 PbWO4 crystals, conditioned on where they hit the central one.

jaxcalo train experiments/ecal_crystals_impact.py --data ecal_photon_train.h5 --out RUN
jaxcalo sample RUN --energies-from ecal_photon_test.h5 -o generated.h5
jaxcalo sample RUN -n 1000 --energy 20 --condition impact_mm=8,-3 -o corner.h5

The data set `impact_mm` (n, 2) is the condition. Symmetries are not used: they would move the
shower and not its impact point.
"""

import dataclasses
import runpy
from pathlib import Path

plain = runpy.run_path(str(Path(__file__).with_name("ecal_crystals_dit.py")))["experiment"]
experiment = dataclasses.replace(
    plain, data=dataclasses.replace(plain.data, conditions=("impact_mm",), augment=False)
)
