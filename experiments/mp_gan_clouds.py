"""MP-GAN at laptop size on the photon clouds: messages between points, in groups of 256.

jaxcalo train experiments/mp_gan_clouds.py --out runs/mp --data ild_photon_points_train.h5
jaxcalo sample runs/mp --energies-from ild_photon_points_test.h5 -o mp.h5
jaxcalo evaluate --reference ild_photon_points_test.h5 --generated mp.h5 --geometry ild_ecal \
    --out report
"""

from jaxcalo.experiment import (
    CloudData,
    CloudExperiment,
    CloudGan,
    MessagePassingPlayers,
    ShowerFlow,
)
from jaxcalo.families import Gan
from jaxcalo.preprocess import SummaryScales
from jaxcalo.training import R1, AdamW, Adversarial, CheckpointPlan, TrainingPlan

adam = AdamW(learning_rate=2e-3, warmup_steps=50, weight_decay=0.0, beta_1=0.0, ema_decay=0.998)
experiment = CloudExperiment(
    data=CloudData(batch_size=8, n_buckets=1),
    flow=ShowerFlow(SummaryScales(symmetric=True)),
    model=CloudGan(
        MessagePassingPlayers(hidden=(16,), edge_widths=(32, 32), node_widths=(32, 32)),
        gan=Gan(Adversarial(penalty=R1(10.0, every=4)), n_local=8, n_global=0),
        optimizer=adam,
        critic_optimizer=adam,
        points_per_shower=256,
    ),
    training=TrainingPlan(n_steps=3500, evaluate_every=500, checkpoints=CheckpointPlan(every=250)),
)
