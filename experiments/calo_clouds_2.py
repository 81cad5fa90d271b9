"""CaloClouds II at laptop size: photons of 10-90 GeV in silicon and tungsten as point clouds.

jaxcalo train experiments/calo_clouds_2.py --out runs/ii --data ild_photon_points_train.h5
jaxcalo distill runs/ii --to consistency --out runs/cm
jaxcalo sample runs/ii --energies-from ild_photon_points_test.h5 -o ii.h5
jaxcalo sample runs/cm --energies-from ild_photon_points_test.h5 -o cm.h5
jaxcalo compare --reference ild_photon_points_test.h5 ii=ii.h5 cm=cm.h5 --geometry ild_ecal \
    --out comparison
"""

from jaxcalo.experiment import (
    CloudData,
    CloudDiffusion,
    CloudExperiment,
    PointWiseNet,
    ShowerFlow,
)
from jaxcalo.preprocess import SummaryScales
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = CloudExperiment(
    data=CloudData(batch_size=64, n_buckets=1),
    flow=ShowerFlow(SummaryScales(symmetric=True)),
    model=CloudDiffusion(
        net=PointWiseNet(),
        points_per_shower=256,
        optimizer=AdamW(learning_rate=2e-3),
    ),
    training=TrainingPlan(n_steps=2500, evaluate_every=500, checkpoints=CheckpointPlan(every=250)),
)
