"""`mmfm notes audit ... audit.judge=WRITER`: asks a language model about the notes that it has not judged."""

from __future__ import annotations

from dataclasses import replace

from data_tools.config import ShardsConfig
from data_tools.notes.audit.judgements import Judgements
from data_tools.notes.store import NoteStore
from data_tools.notes.writing import Summary, said_when_stopped, write_answers
from data_tools.shards.inputs import read_inputs
from data_tools.shards.rejects import check_rejects
from mmfm.progress import track


def judge_notes(cfg: ShardsConfig, limit: int = 0) -> Summary:
    """Ask the judge of `cfg` about the notes whose judgement the store lacks.

    `limit`: most records of each source; 0 for all. Every answer is on disk before it counts, so the run may
    be killed at any point: the same call goes on. Raises `ConfigError` for a judge that cannot be used,
    `UserError` where its backend cannot go on, `DataError` where too many rows of a source
    cannot be used, or every answer failed.
    """
    inputs = read_inputs(replace(cfg, audit=replace(cfg.audit, judge="")), limit)
    check_rejects(inputs.sources, cfg.max_reject_share)
    judgements, summary = Judgements(cfg, inputs.records), Summary("judged")
    with NoteStore(cfg.store) as store, said_when_stopped(store):
        questions = list(track(judgements, "looking for judgements"))
        write_answers(judgements, questions, store, cfg.prepare, summary)
    return summary
