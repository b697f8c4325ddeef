"""The graph of `knowledge.yaml`, read and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import yaml

from data_tools.notes.facts import clean
from mmfm.errors import DataError
from mmfm.records import NOT_KNOWN, Record
from mmfm.taxonomy import CLASSES, MALIGNANT, SUBCLASSES, UNKNOWN_LABEL, label_of, subclass_of

FILE = Path(__file__).with_suffix(".yaml")
# Relations of a disease, and the kind of what stands at their other end.
RELATIONS = {
    "shows": "finding",
    "causes": "symptom",
    "found at": "site",
    "favored by": "risk factor",
    "treated with": "drug",
}
IS_A = "is a"
CODED_AS = "coded as"
FACT_KINDS = tuple(RELATIONS.values())
KINDS = ("ICD-10 code", "disease", *FACT_KINDS)
SEXES = ("", "female", "male")
# Words that sources put in the place of a subclass for a group that a class is held to be. Those of HAM10000.
GROUPS = {"actinic keratosis or intraepithelial carcinoma": "ACK"}


@dataclass(frozen=True)
class Edge:
    """A fact that goes with a disease: how often, for whom, and who says so."""

    disease: str
    relation: str  # of RELATIONS
    fact: str
    grade: str  # "common", "occasional", "rare"
    weight: float  # of that grade
    source: str  # key of `Knowledge.sources`
    age: tuple[float, float] | None = None  # years, both ends included
    sex: str = ""
    sites: tuple[str, ...] = ()
    of: tuple[str, ...] = ()  # kinds of the disease, in plain words

    @property
    def kind(self) -> str:
        """Kind of the fact."""
        return RELATIONS[self.relation]

    def holds_for(self, record: Record, sites: tuple[str, ...]) -> bool:
        """Whether its conditions are met. `sites`: the record's site.

        A condition on age, sex or site that the record does not tell is not met; one on the kind of the
        disease is met where the record names no kind.
        """
        if self.of and record.subclass.lower() not in (*self.of, *NOT_KNOWN, self.disease.lower()):
            return False
        if self.age and (record.age is None or not self.age[0] <= record.age <= self.age[1]):
            return False
        if self.sex and record.sex != self.sex:
            return False
        return not self.sites or any(site in self.sites for site in sites)


class Knowledge:
    """The graph: a node for each name (attributes `kind`, `words`), an edge for each statement.

    Edges carry `relation` and `source`, those to facts an `Edge` as `statement` as well.
    """

    def __init__(self, graph: nx.MultiDiGraph, sources: dict[str, str]) -> None:
        self.graph = graph
        self.sources = sources  # full citations
        self._names = {word: name for name, data in graph.nodes(data=True) for word in data["words"]}
        self._names |= {name.lower(): name for name in graph.nodes}
        self._edges: dict[tuple[str, str], list[Edge]] = {}

    def names(self, kind: str) -> list[str]:
        """Names of a kind. Raises `KeyError` for a kind that there is not."""
        if kind not in KINDS:
            raise KeyError(kind)
        return [name for name, data in self.graph.nodes(data=True) if data["kind"] == kind]

    def words(self, name: str) -> tuple[str, ...]:
        """Other words for the same thing."""
        return tuple(self.graph.nodes[name]["words"])

    def kind_of(self, name: str) -> str:
        """One of `KINDS`. Raises `KeyError` for an unknown name."""
        return str(self.graph.nodes[name]["kind"])

    def find(self, words: str) -> str | None:
        """The name that `words` mean, in any case; None where the graph has none."""
        return self._names.get(" ".join(words.lower().split()))

    def parent_of(self, disease: str) -> str | None:
        """The class that a subclass belongs to; None for a class."""
        return next((end for _, end in self._follow(disease, IS_A)), None)

    def subclasses_of(self, disease: str) -> list[str]:
        """The diseases that are one of `disease`."""
        ends = self.graph.in_edges(disease, data="relation")
        return [start for start, _, relation in ends if relation == IS_A]

    def icd10_of(self, disease: str) -> str:
        """Its ICD-10 code (WHO)."""
        return next(end for _, end in self._follow(disease, CODED_AS))

    def edges(self, disease: str, kind: str) -> list[Edge]:
        """What of `kind` goes with a disease: its own statements, or without any those of its class."""
        if (disease, kind) not in self._edges:
            self._edges[disease, kind] = self._find_edges(disease, kind)
        return self._edges[disease, kind]

    def own_kinds(self, disease: str) -> tuple[str, ...]:
        """The kinds of which the file says something for a disease itself, be it that there is nothing."""
        return tuple(self.graph.nodes[disease]["closed"])

    def statements(self, disease: str) -> list[Edge]:
        """The edges that the file has for a disease itself."""
        found = self.graph.out_edges(disease, data="statement")
        return [statement for _, _, statement in found if statement is not None]

    def disease_of(self, record: Record) -> str | None:
        """The disease of a record, as exactly as it tells; None where it does not tell a class either.

        None as well for what the graph does not hold: a malignant lesion of a class that is not (vascular
        lesions are no Kaposi sarcoma), and a subclass that is neither one of the taxonomy nor a kind that the
        graph names (what is true of benign keratoses is not of a clear cell acanthoma).
        """
        usual = CLASSES[record.label].malignancy if record.label != UNKNOWN_LABEL else MALIGNANT
        if record.malignancy == MALIGNANT != usual:
            return None
        for words in (record.matched_subclass, record.subclass):
            subclass = subclass_of(words)
            if subclass is not None and record.label in (subclass.label, UNKNOWN_LABEL):
                return subclass.name
        return (record.class_name or None) if self._holds_kind(record) else None

    def sites_of(self, record: Record) -> tuple[str, ...]:
        """The site of a record by the name that the graph has for it, if it has one."""
        site = self.find(record.site)
        return (site,) if site and self.kind_of(site) == "site" else ()

    def _holds_kind(self, record: Record) -> bool:
        """Whether a record without a subclass of its class may take what the graph holds of that class."""
        words = clean(record.subclass).lower()
        if not words or record.matched_subclass or subclass_of(words) is not None:
            return True
        if record.label != UNKNOWN_LABEL and any(words in e.of for e in self._of_class(record.class_name)):
            return True
        try:
            return label_of(GROUPS.get(words, words)) == record.label
        except KeyError:
            return False

    def _of_class(self, disease: str) -> Iterator[Edge]:
        """The statements of a class and of its subclasses."""
        for one in (disease, *self.subclasses_of(disease)):
            yield from self.statements(one)

    def _find_edges(self, disease: str, kind: str) -> list[Edge]:
        own = [edge for edge in self.statements(disease) if edge.kind == kind]
        parent = self.parent_of(disease)
        if own or parent is None or kind in self.own_kinds(disease):
            return own
        return self.edges(parent, kind)

    def _follow(self, start: str, relation: str) -> Iterator[tuple[str, str]]:
        for begin, end, name in self.graph.out_edges(start, data="relation"):
            if name == relation:
                yield begin, end


@cache
def knowledge() -> Knowledge:
    """The graph that comes with the package."""
    return read_knowledge(FILE)


def read_knowledge(path: Path) -> Knowledge:
    """Read and check a graph. Raises `DataError` naming the entry that is wrong."""
    try:
        content = yaml.load(path.read_text(), _Loader)
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    graph = nx.MultiDiGraph()
    for kind in (*FACT_KINDS, "disease"):
        for name, entry in content[kind].items():
            _add_node(graph, path, name, kind, entry if kind in FACT_KINDS else ())
    for disease, entry in content["disease"].items():
        _add_disease(graph, path, disease, entry, content["grades"])
    found = Knowledge(graph, content["sources"])
    _check_sources(found, path)
    _check_taxonomy(found, path)
    idle = [name for name, degree in graph.degree if not degree]
    if idle:
        raise DataError(f"{path}: no edge leads to {', '.join(idle)}")
    return found


def _add_node(graph: nx.MultiDiGraph, path: Path, name: str, kind: str, words: Any) -> None:
    for word in (name, *words):
        taken = [other for other, data in graph.nodes(data=True) if word in (other, *data["words"])]
        if taken:
            raise DataError(f"{path}: {kind} {name!r}: {word!r} already stands for {taken[0]!r}")
    graph.add_node(name, kind=kind, words=tuple(word.lower() for word in words), closed=())


def _add_disease(
    graph: nx.MultiDiGraph, path: Path, disease: str, entry: Mapping[str, Any], grades: Mapping[str, float]
) -> None:
    where = f"{path}: {disease}"
    closed = []
    for relation, facts in entry.items():
        if relation == IS_A:
            _need_node(graph, where, facts["disease"], "disease")
            graph.add_edge(disease, facts["disease"], relation=IS_A, source=facts["source"])
        elif relation == CODED_AS:
            graph.add_node(facts["code"], kind="ICD-10 code", words=(), closed=())
            graph.add_edge(disease, facts["code"], relation=CODED_AS, source=facts["source"])
        elif relation in RELATIONS:
            closed.append(RELATIONS[relation])
            for fact, said in facts.items():
                edge = _edge(graph, f"{where} {relation} {fact}", (disease, relation, fact), said, grades)
                graph.add_edge(disease, fact, relation=relation, source=edge.source, statement=edge)
        else:
            raise DataError(f"{where}: unknown relation {relation!r}; those are {', '.join(RELATIONS)}")
    graph.nodes[disease]["closed"] = tuple(closed)


def _edge(
    graph: nx.MultiDiGraph,
    where: str,
    ends: tuple[str, str, str],
    said: Mapping[str, Any],
    grades: Mapping[str, float],
) -> Edge:
    disease, relation, fact = ends
    _need_node(graph, where, fact, RELATIONS[relation])
    for site in said.get("sites", ()):
        _need_node(graph, where, site, "site")
    unknown = set(said) - {"weight", "source", "age", "sex", "sites", "of"}
    if unknown or said.get("weight") not in grades or said.get("sex", "") not in SEXES:
        raise DataError(f"{where}: cannot understand {dict(said)}")
    age = tuple(said["age"]) if "age" in said else None
    if age and not 0 <= age[0] <= age[1]:
        raise DataError(f"{where}: age {list(age)} must be [least, greatest]")
    grade = said["weight"]
    sites = tuple(said.get("sites", ()))
    of = tuple(said.get("of", ()))
    source = said.get("source", "")
    return Edge(disease, relation, fact, grade, grades[grade], source, age, said.get("sex", ""), sites, of)


def _need_node(graph: nx.MultiDiGraph, where: str, name: str, kind: str) -> None:
    if name not in graph or graph.nodes[name]["kind"] != kind:
        raise DataError(f"{where}: {name!r} is not listed under {kind!r}")


def _check_sources(found: Knowledge, path: Path) -> None:
    used = set()
    for start, end, source in found.graph.edges(data="source"):
        if source not in found.sources:
            raise DataError(f"{path}: {start} - {end}: source {source!r} is not one of `sources`")
        used.add(source)
    if used != set(found.sources):
        raise DataError(f"{path}: nothing rests on the sources {', '.join(set(found.sources) - used)}")


def _check_taxonomy(found: Knowledge, path: Path) -> None:
    """Every class and subclass is there, with its code, below its class, and with findings."""
    wanted = {lesion.name: (lesion.icd10, lesion.name) for lesion in CLASSES}
    wanted |= {one.name: (one.icd10, CLASSES[one.label].name) for one in SUBCLASSES}
    diseases = found.names("disease")
    if set(diseases) != set(wanted):
        raise DataError(f"{path}: diseases differ from the taxonomy: {sorted(set(diseases) ^ set(wanted))}")
    for name, (code, parent) in wanted.items():
        if [end for _, end in found._follow(name, CODED_AS)] != [code]:
            raise DataError(f"{path}: {name} must be coded as {code}, as in the taxonomy")
        if (found.parent_of(name) or name) != parent:
            raise DataError(f"{path}: {name} must be a {parent}, as in the taxonomy")
        if not found.edges(name, "finding"):
            raise DataError(f"{path}: {name} has no findings")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML would keep the last and lose an edge in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {', '.join(twice)} stands twice")
        return super().construct_mapping(node, deep)
