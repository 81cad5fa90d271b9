"""CaloChallenge data set 1, photons (368 voxels), with CaloDiffusion's network and maps.

jaxcalo train experiments/calochallenge_ds1_photons.py --out RUN --data dataset_1_photons_1.hdf5
jaxcalo sample RUN --energies-from dataset_1_photons_2.hdf5 -o photons.h5

Network, maps between the unequal layers and one grid, objective and sampler are those of
arXiv:2308.03876 (521,581 parameters). Showers are not turned for training: ATLAS is not
symmetric about these particles. Not trained here; the files: doi.org/10.5281/zenodo.8099322.
"""

from jaxcalo.diffusion import Cosine, Ddpm, EpsPrediction, Snr
from jaxcalo.diffusion.time_grids import Uniform
from jaxcalo.experiment import Data, Experiment, UNetNet
from jaxcalo.families import Diffusion, Sampling
from jaxcalo.preprocess import IncidentFractions
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = Experiment(
    data=Data(
        path="dataset_1_photons_1.hdf5", geometry="ds1-photons", batch_size=128, augment=False
    ),
    preprocess=IncidentFractions(max_deposit=3.1, margin=1e-6),
    net=UNetNet(channels=(16, 16, 16, 32), azimuth_channel=True),
    diffusion=Diffusion(schedule=Cosine(), parametrization=EpsPrediction(), weighting=Snr()),
    optimizer=AdamW(learning_rate=4e-4, weight_decay=0.0),
    training=TrainingPlan(n_steps=200_000, checkpoints=CheckpointPlan(every=2000)),
    sampling=Sampling(sampler=Ddpm(), n_steps=400, grid=Uniform()),
)
