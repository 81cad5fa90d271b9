"""The least-squares GAN with the distribution of the four leptons' mass in the generator's loss.

jaxcalo train experiments/four_lepton/gan_prioritised.py --out runs/gan_prioritised \
    --data four_lepton.csv

What the term gains at equal time is in experiments/README.md.
"""

import dataclasses
import runpy
from pathlib import Path

from jaxcalo.experiment import LeptonTerms

plain = runpy.run_path(str(Path(__file__).with_name("gan.py")))["experiment"]
experiment = dataclasses.replace(plain, terms=LeptonTerms(mass=1.0))
