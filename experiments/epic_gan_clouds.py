"""EPiC-GAN at laptop size on the photon clouds.

jaxcalo train experiments/epic_gan_clouds.py --out runs/epic --data ild_photon_points_train.h5
jaxcalo sample runs/epic --energies-from ild_photon_points_test.h5 -o epic.h5
jaxcalo evaluate --reference ild_photon_points_test.h5 --generated epic.h5 --geometry ild_ecal \
    --out report
"""

from jaxcalo.experiment import CloudData, CloudExperiment, CloudGan, EpicPlayers, ShowerFlow
from jaxcalo.preprocess import SummaryScales
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

adam = AdamW(learning_rate=2e-3, weight_decay=0.0, beta_1=0.0, ema_decay=0.995)
experiment = CloudExperiment(
    data=CloudData(batch_size=8, n_buckets=3),
    flow=ShowerFlow(SummaryScales(symmetric=True)),
    model=CloudGan(
        EpicPlayers(hidden=48, global_width=8, generator_layers=4, critic_layers=3),
        optimizer=adam,
        critic_optimizer=adam,
    ),
    training=TrainingPlan(n_steps=3000, evaluate_every=500, checkpoints=CheckpointPlan(every=250)),
)
