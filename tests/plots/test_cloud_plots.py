import jax
import numpy as np
import pytest

from jaxcalo.data.point_cloud import Clouds
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.geometry import CartesianLayer, Detector
from jaxcalo.metrics import Estimate, condense, evaluate
from jaxcalo.metrics.cloud_sample import condense_clouds
from jaxcalo.plots import average_figures
from jaxcalo.plots.cloud_comparison import (
    Distances,
    distance_figure,
    overlay_figure,
    overlay_panels,
)
from jaxcalo.plots.clouds import cloud_figure, half_width_mm, similar_rows
from jaxcalo.plots.comparison import Curve
from jaxcalo.plots.profiles import (
    joined_rings,
    mean_layer_panel,
    mean_ring_panel,
    occupancy_panel,
)
from jaxcalo.plots.showers import front_view, side_view

EDGES = tuple(np.linspace(-100.0, 100.0, 41))
STACK = Detector(
    "stack", "photon", 22, tuple(CartesianLayer(i, EDGES, EDGES) for i in range(6)), 0.1
)


def sample(seed, n=60, energy=1.0):
    clouds = toy_clouds(jax.random.key(seed), n, n_layers=6)
    clouds.points[:, 3] *= energy
    return condense_clouds([clouds], STACK, source=f"clouds {seed}")


@pytest.fixture(scope="module")
def pair():
    return sample(0), sample(1)


def rows_of(*points_of_each):
    points = [np.asarray(points, np.float32).reshape(-1, 4) for points in points_of_each]
    energy = np.arange(1, len(points) + 1, dtype=np.float32) * 1e4
    return Clouds(energy, np.concatenate(points), np.array([len(p) for p in points], np.int32))


def test_clouds_are_chosen_by_their_energy_alone():
    reference = np.array([90.0, 10.0, 52.0, 31.0, 70.0])
    generated = np.array([34.0, 69.0, 11.0, 48.0, 90.0])
    # the common range 11 to 90 in three parts: middles 24.2, 50.5, 76.8
    assert similar_rows(reference, generated) == [(3, 0), (2, 3), (4, 1)]


def test_the_box_holds_99_percent_of_the_energy():
    inside, far = [[12, 0, 0, 98.5], [0, -33, 1, 0.9]], [[400, 0, 2, 0.6]]
    assert half_width_mm(np.asarray(inside + far, float)) == 40.0
    assert half_width_mm(np.asarray(inside, float)) == 20.0  # 99.1 % within 12 mm
    assert half_width_mm(np.zeros((0, 4))) == 10.0


def scatters(axes):
    """Offsets, energies and sizes of the floor's shadow, the wall's and the points."""
    return [
        (np.asarray(c.get_offsets()), c.get_array(), c.get_sizes())
        for c in axes.collections
        if hasattr(c, "get_sizes") and len(c.get_offsets()) > 1
    ]


def test_points_stand_where_the_projection_puts_them():
    cloud = [[0, 0, 0, 5.0], [0, 0, 3, 20.0], [10, 0, 0, 1.0], [0, 10, 0, 2.0]]
    figure = cloud_figure({"Geant4": rows_of(cloud)}, n_layers=6)
    (offsets, energy, sizes) = scatters(figure.axes[0])[-1]
    np.testing.assert_array_equal(energy, [1, 2, 5, 20])  # the most energetic one on top
    assert (np.diff(sizes) > 0).all()
    x, y, origin, deep = offsets
    assert deep[1] == origin[1]  # depth is horizontal
    assert deep[0] - origin[0] == pytest.approx(3 * 3.0 * 10 / 6)
    np.testing.assert_allclose(y - origin, [0, 10], atol=1e-5)
    np.testing.assert_allclose(
        x - origin, 4.2 * np.array([np.cos(np.deg2rad(38)), np.sin(np.deg2rad(38))]), rtol=1e-5
    )


def test_shadows_lie_on_floor_and_wall_and_outliers_are_left_out():
    core = [[0, 0, 1, 100.0], [5, 5, 2, 100.0], [5, -5, 2, 100.0]]
    figure = cloud_figure({"Geant4": rows_of([*core, [80, 0, 1, 0.5]])}, n_layers=6)
    floor, wall, points = (offsets for offsets, *_ in scatters(figure.axes[0]))
    assert len(floor) == len(wall) == len(points) == 3
    assert np.ptp(wall[:, 1]) == pytest.approx(10)  # y remains, x is the wall's
    along_x = np.sort(floor[:, 1])
    assert along_x[-1] - along_x[0] == pytest.approx(5 * 0.42 * np.sin(np.deg2rad(38)), rel=1e-5)
    assert "4 points" in figure.axes[0].get_title(loc="left")


def test_every_sample_has_a_row_in_the_reference_scale():
    many = [[[0, 0, layer, 3.0] for layer in range(6)], [[1, 1, 0, 9.0]] * 2]
    clouds = {"Geant4": rows_of(*many), "a": rows_of(many[1], []), "b": rows_of(*many)}
    figure = cloud_figure(clouds, n_layers=6)
    figure.canvas.draw()
    titles = [axes.get_title(loc="left") for axes in figure.axes[:-1]]
    assert titles == [
        f"{name}, {energy:.1f} GeV, {n} points"
        for name, numbers in (("Geant4", (6, 2)), ("a", (2, 0)), ("b", (6, 2)))
        for n, energy in zip(numbers, (10, 20), strict=True)
    ]
    assert len({axes.get_xlim() for axes in figure.axes[:-1]}) == 1
    heights = [axes.get_position().y0 for axes in figure.axes[:-1]]
    assert heights[0] > heights[2] > heights[4]


def test_a_detector_of_one_layer_and_clouds_without_points_can_be_drawn():
    for clouds in (rows_of([[0, 0, 0, 1.0]]), rows_of([])):
        cloud_figure({"Geant4": clouds, "model": rows_of([])}, n_layers=1).canvas.draw()


def mean_shower():
    mean = np.zeros((6, 40, 40))
    mean[2, 19:21, 17:23] = 1.0  # broad in x, narrow in y
    mean[4, 20, 20] = 2.0
    return mean.ravel()


def test_projections_of_the_average_shower_sum_all_layers_or_all_rows():
    mean = mean_shower()
    (front,) = front_view(STACK, mean, 3 * mean).tiles
    (side,) = side_view(STACK, mean, 3 * mean).tiles
    for tile in (front, side):
        assert tile.reference.sum() == pytest.approx(mean.sum())
        np.testing.assert_allclose(tile.generated, 3 * tile.reference)
        assert tile.reference.shape == (len(tile.y_edges) - 1, len(tile.x_edges) - 1)
    np.testing.assert_allclose(front.x_edges[[0, -1]], [-15, 15])
    assert front.reference[len(front.reference) // 2].max() == 3  # 1 + 2 in the same column
    np.testing.assert_allclose(side.x_edges, np.arange(7) - 0.5)
    assert side.reference[:, 2].sum() == 12
    assert side.reference[:, 4].sum() == 2


def test_what_only_the_generated_sample_has_stays_in_the_picture():
    mean, other = mean_shower(), mean_shower().reshape(6, 40, 40).copy()
    other[0, 0, 39] = 1.0
    (front,) = front_view(STACK, mean, other.ravel()).tiles
    assert front.generated.shape == (40, 40)
    assert front.generated[0, 39] == 1.0


def test_a_stack_of_matrices_is_shown_in_projections(pair):
    figures = average_figures(STACK, *(s.mean_shower_mev for s in pair), ("Geant4", "model"))
    assert set(figures) == {"average_front", "average_side"}


def test_fine_cells_show_hits_and_coarse_ones_sparsity(pair):
    panel = occupancy_panel(*pair, STACK)
    assert panel.title == "hits"
    assert panel.curve.reference.sum() == pytest.approx(pair[0].moments.n_hits.mean())
    assert panel.curve.generated.sum() == pytest.approx(pair[1].moments.n_hits.mean())
    coarse = Detector("coarse", "photon", 22, tuple(
        CartesianLayer(i, (-100, 0, 100), (-100, 0, 100)) for i in range(6)
    ))  # fmt: skip
    clouds = toy_clouds(jax.random.key(0), 30, n_layers=6)
    assert occupancy_panel(*[condense_clouds([clouds], coarse)] * 2, coarse).title == "sparsity"


def test_profiles_of_samples_are_those_of_their_evaluation(pair):
    evaluation = evaluate(*pair, STACK)
    for panel, profile in (
        (mean_layer_panel(*pair), evaluation.longitudinal),
        (mean_ring_panel(*pair, STACK), evaluation.radial),
    ):
        for a, b in zip(panel.curve[1:5], profile, strict=True):
            np.testing.assert_allclose(a, b)


def test_joined_rings_keep_the_energy_and_are_wide_enough():
    edges = np.arange(0, 301, 5.0)
    area = np.diff(edges**2)
    values = np.exp(-edges[:-1] / 50)
    curve = Curve(edges, values, 0.1 * values, 2 * values, 0.2 * values)
    joined = joined_rings(curve)
    assert (np.diff(joined.edges) >= 0.0999 * joined.edges[:-1]).all()
    assert joined.edges[[0, 1, -1]].tolist() == [0, 5, 300]
    assert len(joined.edges) < 30
    wide = np.diff(joined.edges**2)
    assert (joined.reference * wide).sum() == pytest.approx((values * area).sum())
    np.testing.assert_allclose(joined.generated, 2 * joined.reference)
    variance = ((joined.reference_error * wide) ** 2).sum()
    assert variance == pytest.approx(((0.1 * values * area) ** 2).sum())


def test_overlays_show_every_sample_over_one_reference(pair):
    reference, first = pair
    other = sample(2, energy=1.2)
    panels = {name: overlay_panels(reference, s, STACK) for name, s in (("a", first), ("b", other))}
    figure = overlay_figure(panels, "Geant4")
    labels = [axes.get_xlabel() for axes in figure.axes[1::2]]
    assert labels == [
        "cells above threshold", "visible / incident energy", "cell energy [MeV]", "radius [mm]",
        "layer", "",
    ]  # fmt: skip
    legend = figure.axes[10].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["Geant4", "a", "b"]
    colours = [line.get_color() for line in legend.get_lines()]
    ratio = figure.axes[9]  # along the layers
    drawn = {p.get_edgecolor(): p.get_data().values for p in ratio.patches if not p.get_fill()}
    curve = panels["b"][4].curve
    hexadecimal = {f"#{int(255 * r + 0.5):02x}{int(255 * g + 0.5):02x}{int(255 * b + 0.5):02x}": v
                   for (r, g, b, _), v in drawn.items()}  # fmt: skip
    np.testing.assert_allclose(hexadecimal[colours[2]], curve.generated / curve.reference)


def test_one_layer_has_no_profile_along_the_layers():
    one = Detector("one", "photon", 22, (CartesianLayer(0, EDGES, EDGES),))
    a, b = (condense_clouds([toy_clouds(jax.random.key(i), 30, n_layers=1)], one) for i in (0, 1))
    assert len(overlay_panels(a, b, one)) == 4


def test_distances_are_drawn_in_hundredths_with_published_ones_hollow():
    def estimates(*values):
        return {k: Estimate(v, 0.01, 9) for k, v in zip(("n_hits", "e_cell"), values, strict=True)}

    floors = estimates(0.05, 0.02)
    samples = [
        Distances("II", estimates(0.0, 0.30), floors, estimates(0.036, 0.15)),
        Distances("GAN", estimates(0.12, 0.40), floors, {}),
    ]
    figure = distance_figure(samples, {"n_hits": "N_hits", "e_cell": "E_cell"})
    figure.canvas.draw()
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["N_hits", "E_cell"]
    lines = [
        line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() != "None"
    ]
    drawn = [(line.get_xdata().tolist(), line.get_markerfacecolor()) for line in lines]
    np.testing.assert_allclose([x for x, _ in drawn], [[3.6, 15], [0, 30], [12, 40]])
    assert [face == "white" for _, face in drawn] == [True, False, False]
    bands = [c.get_paths()[0].get_extents().x1 for c in axes.collections[:2]]
    np.testing.assert_allclose(bands, [5, 2])
    assert axes.get_xlim()[1] > 40


def test_voxels_and_clouds_of_the_same_showers_are_one_sample(pair):
    """The pictures may be made of either."""
    from jaxcalo.data import Showers
    from jaxcalo.geometry import project_voxels

    clouds = toy_clouds(jax.random.key(0), 60, n_layers=6)
    dense = project_voxels(clouds.points, clouds.shower, STACK, 60)
    found = condense([Showers(clouds.incident_energy_mev, dense)], STACK)
    panel, same = (occupancy_panel(s, s, STACK).curve.reference for s in (found, pair[0]))
    np.testing.assert_allclose(panel, same)
