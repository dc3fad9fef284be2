"""The trace contract: the record of a run along its steps, as one ``xarray.Dataset``.

Dimensions ``cell, replica, sample`` and, where they apply, ``group`` (scale-invariant groups of weights), ``block,
bin`` (counts of the overlap), ``snapshot, weight`` (stored directions and the final weights), ``word`` (state of a
random stream).

The coordinates on ``cell`` are ``lr_set, wd_set, elr_set, radius_set`` (NaN where a protocol does not have them) and
``cell_id``. ``samples(cell, replica)`` is the number of valid samples, ``step(cell, sample)`` their steps,
``outcome(cell, replica)`` how the run ended. In a store, ``completed(cell, replica)`` is written last, so that an
interrupted run has no half-written cell. Symbols: ``docs/reference/symbols.md``.
"""

from weightgas.errors import renamed_names
from weightgas.trace import batches, digest, repair, seal
from weightgas.trace.contract import column, fixed, grid, holds, kind_of, make, protocol_of, valid
from weightgas.trace.extension import extend, joined
from weightgas.trace.format_1 import in_names_of_today
from weightgas.trace.resolution import halve, lengthen
from weightgas.trace.schema import check, check_state, custom, used_for
from weightgas.trace.store import (
    cells_per_write,
    completed_cells,
    create_store,
    is_old,
    mark_failed,
    open_trace,
    read,
    save,
    upgrade,
    write_cells,
)

__all__ = [
    "make",
    "check",
    "check_state",
    "used_for",
    "fixed",
    "kind_of",
    "protocol_of",
    "custom",
    "column",
    "valid",
    "holds",
    "grid",
    "digest",
    "repair",
    "seal",
    "batches",
    "save",
    "open_trace",
    "read",
    "extend",
    "joined",
    "halve",
    "lengthen",
    "create_store",
    "write_cells",
    "mark_failed",
    "completed_cells",
    "cells_per_write",
    "is_old",
    "upgrade",
    "in_names_of_today",
]

__getattr__ = renamed_names(
    __name__,
    {
        "VARIABLES": "weightgas.quantities.RECORDED",
        "Variable": "weightgas.quantities.Quantity",
        "OF_NOISE": "weightgas.quantities.OF_NOISE",
    },
)
