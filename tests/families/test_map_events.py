import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.families.map_events import map_events


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 11])
def test_every_row_has_its_own_result_whatever_is_left_over(n):
    rows = jax.random.split(jax.random.key(0), n), {"x": jnp.arange(2.0 * n).reshape(n, 2)}

    def of_event(row):
        key, data = row
        return {"sum": jnp.sum(data["x"]), "drawn": jax.random.uniform(key, (3,))}

    found = jax.jit(lambda rows: map_events(of_event, rows, 4))(rows)
    expected = [of_event(jax.tree.map(lambda x, i=i: x[i], rows)) for i in range(n)]
    for name in ("sum", "drawn"):
        np.testing.assert_array_equal(found[name], jnp.stack([row[name] for row in expected]))


def test_the_function_is_made_into_one_program_and_memory_is_that_of_a_block():
    def of_event(x):
        return jnp.sum(jnp.sin(jnp.outer(x, x)))

    rows = jnp.ones((11, 7))
    text = str(jax.make_jaxpr(lambda rows: map_events(of_event, rows, 4))(rows))
    assert text.count(" sin ") == 1
    assert "4,7,7" in text
    assert "11,7,7" not in text
