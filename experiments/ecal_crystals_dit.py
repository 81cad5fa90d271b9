"""Photons of 1-50 GeV in a matrix of 11 x 11 PbWO4 crystals, as in the CMS ECAL: showers in 2-D.

jaxcalo train experiments/ecal_crystals_dit.py --out runs/ecal --data ecal_photon_train.h5
jaxcalo sample runs/ecal --energies-from ecal_photon_test.h5 -o ecal.h5
jaxcalo evaluate --reference ecal_photon_test.h5 --generated ecal.h5 --geometry ecal_crystals \
    --out report
"""

from jaxcalo.experiment import Data, DiTNet, Experiment
from jaxcalo.training import AdamW, TrainingPlan

experiment = Experiment(
    data=Data(path="ecal_photon_train.h5", geometry="ecal_crystals", batch_size=64),
    net=DiTNet(patch=(3, 3), width=96, depth=4),
    optimizer=AdamW(learning_rate=2e-3, warmup_steps=200),
    training=TrainingPlan(n_steps=3000),
)
