"""The published table: numbers typed by hand from the paper, and what every row must keep."""

import pytest

from jaxcalo.metrics.leaderboard import GEANT4, published

MODELS = {"1-photons": 15, "1-pions": 12, "2": 17, "3": 15}
SEPARATIONS = {
    "e_layer",
    "e_ratio",
    "e_voxel",
    "centre_x",
    "centre_y",
    "centre_r",
    "width_x",
    "width_y",
    "width_r",
    "sparsity",
}


def row(dataset, model):
    (found,) = [r for r in published(dataset) if r.model == model]
    return found


@pytest.mark.parametrize(
    ("dataset", "model", "numbers"),
    [
        ("1-photons", "CaloINN", {"auc_low": 0.6259, "auc_low_error": 0.0042, "auc_high": 0.6377,
                                  "fpd_e3": 3.897, "kpd_e3": 0.233, "log_posterior": -2.2}),
        ("1-photons", GEANT4, {"fpd_e3": 0.1192, "precision": 0.704, "coverage": 0.964}),
        ("1-photons", "CaloMan", {"density": 612, "recall": 0.00993}),
        ("1-pions", GEANT4, {"auc_low": 0.6089, "auc_high": 0.5579, "kpd_e3": -0.0075}),
        ("1-pions", "CaloForest", {"parameters_training_millions": 5298, "fpd_e3": 204.7}),
        ("2", "CaloDREAM", {"auc_low": 0.5308, "auc_high": 0.5208, "auc_resnet": 0.6812,
                            "fpd_e3": 24.65, "kpd_e3": 0.0231, "log_posterior": -2.41}),
        ("2", "CaloScore distilled", {"parameters_training_millions": 28.87,
                                      "parameters_generation_millions": 14.44}),
        ("2", "Calo-VQ", {"auc_low": 0.9858, "auc_low_error": 0.0007, "density": 254}),
        ("3", "GEANT4 transformer", {"fpd_e3": 22950, "kpd_e3": 241, "auc_high": 1.0}),
        ("3", "CaloDREAM", {"auc_low": 0.63, "auc_high": 0.5241, "fpd_e3": 20.75}),
    ],
)  # fmt: skip
def test_numbers_are_the_published_ones(dataset, model, numbers):
    found = row(dataset, model)
    assert {name: getattr(found, name) for name in numbers} == numbers


def test_separations_and_times_are_the_published_ones():
    assert row("2", "CaloDREAM").separation["e_ratio"] == 0.000703
    assert row("2", GEANT4).separation["e_voxel"] == 8.78e-07
    assert row("1-pions", "CaloDiffusion").separation["centre_y"] == 0.000555
    assert row("3", "MDMA").separation["width_r"] == 0.0147
    assert row("1-photons", "CaloINN").ms_per_shower["gpu_10000"] == 0.1915
    assert row("2", "CaloDREAM").ms_per_shower["gpu_10000"] is None
    assert row("3", "iCaloFlow teacher").ms_per_shower["cpu_1"] == 1.551e7


@pytest.mark.parametrize("dataset", MODELS)
def test_every_row_is_whole_and_in_order(dataset):
    rows = published(dataset)
    assert len(rows) == MODELS[dataset] + 1
    assert len({r.model for r in rows}) == len(rows)
    assert rows[0].model == GEANT4
    assert [r.auc_low for r in rows[1:]] == sorted(r.auc_low for r in rows[1:])
    for r in rows:
        assert 0.49 < r.auc_low <= 1
        assert 0.49 < r.auc_high <= 1
        assert (r.auc_resnet is None) == dataset.startswith("1")
        assert set(r.separation) == SEPARATIONS
        assert all(0 < power < 1 for power in r.separation.values())
        assert (r.log_posterior is None) == (r.model == GEANT4)
        for name in ("precision", "recall", "coverage"):
            assert 0 <= getattr(r, name) <= 1
