"""Run folders: prepared once, resumed, shared by several processes; the parts of a grid; what is written about a run.

A run is a folder: ``config.toml, trace.zarr, state.zarr, report.html, log.txt, manifest.json``. A folder is never
overwritten without ``force``. The same call on an unfinished folder goes on where it stopped; on a finished one it
returns what is there.
"""

from weightgas.runs.chunks import in_chunks, is_complete, subset, to_do
from weightgas.runs.executors import Executors, workers
from weightgas.runs.executors import checked as checked_executor
from weightgas.runs.folder import Run, prepare
from weightgas.runs.journal import duration, environment, finish, progress, unseen, write_atomically
from weightgas.runs.shards import WHOLE, Shard, preparing, shard_of

__all__ = ["WHOLE", "Executors", "Run", "Shard", "checked_executor", "duration", "environment", "finish", "in_chunks"]
__all__ += ["is_complete", "prepare", "preparing", "progress", "shard_of", "subset", "to_do", "unseen", "workers"]
__all__ += ["write_atomically"]
