"""Run folders, which can be resumed and shared by several processes; the chunks of a grid; the files about a run.

A run is a folder: ``config.toml, trace.zarr, state.zarr, report.html, log.txt, manifest.json``. A folder is never
overwritten without ``force``. The same call on an unfinished folder resumes where it stopped; on a finished one it
returns the result.
"""

from weightgas.runs.chunks import Growing, in_chunks, is_complete, subset, to_do
from weightgas.runs.clients import Client, workers
from weightgas.runs.clients import checked as checked_client
from weightgas.runs.conversion import convert
from weightgas.runs.folder import RunFolder, prepare, save_state, tidy
from weightgas.runs.journal import (
    duration,
    environment,
    finish,
    manifest,
    progress,
    remove,
    remove_folder,
    unseen,
    write_atomically,
)
from weightgas.runs.shards import UNSHARDED, Shard, preparing, shard_of

__all__ = ["UNSHARDED", "Client", "Growing", "RunFolder", "Shard", "checked_client", "convert", "duration"]
__all__ += ["environment", "finish", "in_chunks", "is_complete", "manifest", "prepare", "preparing"]
__all__ += ["progress", "remove", "remove_folder", "save_state", "shard_of", "subset", "tidy", "to_do", "unseen"]
__all__ += ["workers", "write_atomically"]
