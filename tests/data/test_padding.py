import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmfm.data.padding import pad


@given(st.lists(st.lists(st.integers(0, 60_000), max_size=6), min_size=1, max_size=5))
def test_rows_come_back_and_the_rest_is_padding(rows: list[list[int]]) -> None:
    tokens, mask = pad([np.array(row, np.uint16) for row in rows], pad_id=7)
    assert tokens.dtype == mask.dtype == np.int64
    assert tokens.shape == mask.shape == (len(rows), max(map(len, rows)))
    assert [tokens[i][mask[i] == 1].tolist() for i in range(len(rows))] == rows
    assert (tokens[mask == 0] == 7).all()
