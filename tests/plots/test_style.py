import io

import matplotlib as mpl
from PIL import Image

from jaxcalo.plots import new_figure, style, to_png


def test_a_figure_becomes_a_png_of_its_size_and_leaves_no_trace():
    before = dict(mpl.rcParams)
    figure = new_figure(2.0, 1.0)
    with style():
        figure.add_subplot().plot([0, 1], [0, 1])
        assert mpl.rcParams["axes.titlesize"] == 9
    png = to_png(figure)
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert picture.size == (220, 110)
        assert len(picture.convert("RGB").getcolors(10**5)) > 1
    assert dict(mpl.rcParams) == before
    assert png == to_png(figure)
