"""Facts that go with a lesion, drawn from the graph: the priors of notes of strategy K.

After MedSyn (Kumichev et al., ECML-PKDD 2024, doi 10.1007/978-3-031-70381-2_14), which draws symptoms of a
disease by softmax(weight / temperature) without replacement. Weights here are coarse grades, so a fact is
drawn with probability in proportion to weight^(1 / temperature), among those whose age, sex and site agree
with the record.
"""

from __future__ import annotations

import hashlib
import math

from data_tools.config import GraphConfig
from data_tools.notes.graph.knowledge import Edge, Knowledge, knowledge
from mmfm.records import Record

BITS = 53  # of a uniform number


def draw(record: Record, cfg: GraphConfig, graph: Knowledge | None = None) -> dict[str, list[str]]:
    """Facts typical of the diagnosis of `record`, by kind; kinds without any are left out.

    At least one finding where there is one, of the other kinds any number up to the most that `cfg` allows.
    A pure function of the record, `cfg.seed` and the graph: each fact has its own number, a hash, so that a
    new edge leaves the order of the others as it is. Empty where
    `Knowledge.disease_of` finds no disease.
    """
    graph = graph or knowledge()
    disease = graph.disease_of(record)
    if disease is None:
        return {}
    sites = graph.sites_of(record)
    most = {"finding": cfg.findings, "symptom": cfg.symptoms, "risk factor": cfg.risks, "drug": cfg.drugs}
    drawn = {}
    for kind, limit in most.items():
        least = 1 if kind == "finding" else 0
        count = least + int(_uniform(cfg.seed, record.key, kind, "count") * (limit + 1 - least))
        edges = [edge for edge in graph.edges(disease, kind) if edge.holds_for(record, sites)]
        drawn[kind] = _choose(edges, count, record.key, cfg)
    return {kind: facts for kind, facts in drawn.items() if facts}


def _choose(edges: list[Edge], count: int, key: str, cfg: GraphConfig) -> list[str]:
    """`count` facts without replacement: the largest of log(weight) / T + Gumbel noise.

    That equals one draw after the other by softmax (Kool et al., ICML 2019, "Stochastic beams and where to
    find them").
    """

    def rank(edge: Edge) -> float:
        noise = -math.log(-math.log(_uniform(cfg.seed, key, edge.relation, edge.fact)))
        return math.log(edge.weight) / cfg.temperature + noise

    return [edge.fact for edge in sorted(edges, key=rank, reverse=True)[:count]]


def _uniform(*parts: object) -> float:
    """A number in (0, 1) that depends on `parts` alone."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> (64 - BITS)) + 0.5) / 2**BITS
