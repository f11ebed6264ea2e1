from __future__ import annotations

import numpy as np

from passes.allocation import dominance
from passes.allocation.dominance import undominated

CELL = np.array([0, 0, 0, 0, 1, 2, 2])
COLUMNS = np.array([[1.0, 2.0, 2.0, 1.0, 9.0, 1.0, 1.0], [5.0, 4.0, 6.0, 5.0, 9.0, 2.0, 3.0]])


def test_worse_and_later_equal_options_go():
    # Option 2 loses to 1, option 3 equals 0, option 6 loses to 5; option 4 is alone.
    assert undominated(COLUMNS, CELL).tolist() == [True, True, False, False, True, True, False]


def test_blocks_do_not_matter(monkeypatch):
    whole = undominated(COLUMNS, CELL)
    monkeypatch.setattr(dominance, "CHUNK_ELEMENTS", 1)
    assert undominated(COLUMNS, CELL).tolist() == whole.tolist()
