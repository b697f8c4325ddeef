"""The data recipe: sources, preparation, notes with their writers and audit, splits and shape of the shards.

`mmfm notes write`, `mmfm notes audit` and `mmfm data shard` read the same one, each what concerns it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from mmfm.config.option import option
from mmfm.config.schema import ClusterConfig


@dataclass
class SourceConfig:
    """One set of images with its metadata."""

    kind: str = option(
        "table",
        "how the metadata is read: a mapped table, or the official files of a data set",
        choices=(
            "table",
            "folder",
            "isic",
            "reference",
            "bcn20000",
            "derm12345",
            "derm7pt",
            "dermnet",
            "fitzpatrick17k",
            "fluo_sc",
            "ham10000",
            "milk10k",
            "mra_midas",
            "pad_ufes20",
            "sd198",
            "skinl2",
        ),
    )
    collection: str = option(
        "",
        "isic: which collection of the archive it is, for its name, licence and domain",
        choices=("", "bcn20000", "derm12345", "ham10000", "hiba", "milk10k", "msk", "pad_ufes20"),
    )
    dataset: str = option("", "name that records carry; empty takes that of the adapter")
    root: str = option(".", "folder of this source, relative to the recipe's root")
    metadata: str = option("", "metadata file (CSV or Parquet), relative to the source's root")
    images: str = option("", "image folder, relative to the source's root")
    domain: str = option("", "imaging domain of every record, where no column tells")
    columns: dict[str, str] = option({}, "table: record field -> column")
    values: dict[str, dict[str, str]] = option({}, "table: record field -> value in the file -> our value")
    where: dict[str, str] = option({}, "keep rows whose column has this value")
    groups: str = option(
        "",
        "table with lesion_id or patient_id by image_id or isic_id, for metadata without them; "
        "relative to the source's root",
    )
    allow_missing: bool = option(
        False, "rows without an image file are listed but do not count against max_reject_share"
    )
    heldout: bool = option(False, "never train on it: groups that no trained-on source shares go to test")


@dataclass
class SplitConfig:
    """Shares of the splits. Records of one lesion or patient stay together."""

    val: float = option(0.1, "share of the groups in val")
    test: float = option(0.2, "share of the groups in test")
    seed: int = option(0, "seed of the assignment")
    published: bool = option(
        False,
        "keep the split that a data set was published with, unless its parts overlap; records in no part "
        "of it are left out. Records of one lesion or patient stay together all the same",
    )


@dataclass
class DedupConfig:
    """Near-duplicates, found by perceptual hash, are kept on one side of the split."""

    enabled: bool = option(True, "look for near-duplicates")
    hash_side: int = option(16, "side of the difference hash; 16 gives 256 bits")
    max_distance: int = option(10, "greatest Hamming distance of two images of one set taken for the same")
    max_distance_across: int = option(
        20, "the same for images of two sets: larger, since each set crops and compresses in its own way"
    )
    turned: bool = option(
        False, "find mirrored and turned copies as well; comparing takes eight times as long"
    )


@dataclass
class PrepareConfig:
    """What is done to an image before it is packed or shown to a language model, in this order."""

    max_pixels: int = option(
        100_000_000, "images with more pixels are refused before they are decoded", minimum=1
    )
    burnt_in_text: bool = option(False, "paint over letters and rulers that lie in the image")
    hair: bool = option(False, "remove hair: morphological black-hat, then inpainting")
    border: bool = option(False, "cut away a dark frame or a round dermoscope vignette")
    lesion: bool = option(False, "crop to a square that holds the lesion")
    margin: float = option(0.25, "lesion: room around it, as a share of its longer side", minimum=0)


@dataclass
class ServerConfig:
    """An OpenAI-compatible server: a hosted one, or vLLM, TGI, llama.cpp, `transformers serve`."""

    url: str = option("", "base URL, such as http://localhost:8000/v1; empty takes that of OpenAI")
    key_variable: str = option(
        "",
        "environment variable that holds the key; empty takes OPENAI_API_KEY for OpenAI, and sends no key to "
        "a `url`",
    )
    concurrency: int = option(16, "requests under way at once", minimum=1)
    timeout: float = option(120.0, "seconds until a request counts as lost", minimum=0.1)
    retries: int = option(
        8,
        "further tries of a request after errors that may pass (429, 5xx, timeouts, cut answers)",
        minimum=0,
    )
    requests_per_minute: int = option(0, "limit of the account; 0 for none", minimum=0)
    tokens_per_minute: int = option(
        0, "limit of the account, prompt and answer together; 0 for none", minimum=0
    )
    structured: str = option(
        "auto",
        "JSON schema for answers that have one: auto asks for it until the server refuses",
        choices=("auto", "on", "off"),
    )
    image_detail: str = option("auto", "detail of images", choices=("auto", "low", "high"))
    price_in: float = option(0.0, "price of a million prompt tokens", minimum=0)
    price_out: float = option(0.0, "price of a million answer tokens", minimum=0)
    budget: float = option(
        0.0,
        "stop once the notes of the recipe by this writer have cost so much, in the currency of the prices; "
        "what earlier runs paid for them counts, and jobs of an array share it; 0 for no limit",
        minimum=0,
    )


@dataclass
class LocalModelConfig:
    """A transformers model in a folder, text or image-text, run here."""

    device: str = option("auto", "auto takes a GPU where there is one", choices=("auto", "cpu", "cuda"))
    dtype: str = option("auto", "type of the weights", choices=("auto", "float32", "bfloat16", "float16"))
    batch: int = option(8, "prompts generated for at once", minimum=1)
    processes: int = option(
        1, "processes, each with its own copy of the model; 0 takes one per GPU", minimum=0
    )


@dataclass
class WriterConfig:
    """Who writes the notes of strategies that need a language model, and how."""

    backend: str = option("server", "where the model runs", choices=("server", "local"))
    model: str = option("", "name that the server gives the model, or the folder of a local one")
    temperature: float = option(
        0.2, "sampling temperature; 0 takes the likeliest token", minimum=0, maximum=2
    )
    top_p: float = option(
        1.0, "sample from the likeliest tokens that make up this share", minimum=0, maximum=1
    )
    max_tokens: int = option(600, "longest answer in tokens", minimum=1)
    seed: int = option(0, "seed of the sampling, where the backend takes one", minimum=0)
    max_words: int = option(120, "length that prompts ask for, in words", minimum=10)
    retry_failed: bool = option(True, "ask again for notes that failed before (--skip-failed: do not)")
    image_side: int = option(
        512, "images are shrunk to this longer side before they are shown, in pixels", minimum=16
    )
    server: ServerConfig = field(default_factory=ServerConfig)
    local: LocalModelConfig = field(default_factory=LocalModelConfig)


@dataclass
class GraphConfig:
    """How facts are drawn from the knowledge graph for notes of strategy K."""

    temperature: float = option(1.0, "flattens (above 1) or sharpens (below) the weights", minimum=0.01)
    findings: int = option(3, "most findings drawn for a note", minimum=1)
    symptoms: int = option(2, "most symptoms", minimum=0)
    risks: int = option(1, "most risk factors", minimum=0)
    drugs: int = option(0, "most drugs", minimum=0)
    examples: int = option(
        0, "notes of other lesions of the class shown to the model for their style", minimum=0
    )
    examples_file: str = option("", "JSON lines with `text` and, if known, `class`: real notes as examples")
    seed: int = option(0, "seed of the drawing", minimum=0)


@dataclass
class AuditConfig:
    """Which notes are packed. A refused note is kept beside the shards, with its reasons."""

    enabled: bool = option(True, "audit notes, and refuse those that fail")
    refuse: list[str] = option(
        [
            "class",
            "subclass",
            "malignancy",
            "age",
            "sex",
            "site",
            "skin_tone",
            "confirmation",
            "history",
            "option",
            "leak",
            "length",
            "repetition",
            "near_duplicate",
            "empty",
        ],
        "kinds of finding that refuse a note",
    )
    exempt: list[str] = option(["R"], "notes that are audited but never refused: controls")
    hidden: list[str] = option([], "notes that must not tell the class, beyond the strategies that never may")
    min_recall: float = option(
        0.0, "least share of the given facts that a note must tell", minimum=0, maximum=1
    )
    min_precision: float = option(
        0.0, "least share of a note's statements that are supported", minimum=0, maximum=1
    )
    min_words: int = option(3, "shortest note", minimum=0)
    max_words: int = option(400, "longest note", minimum=1)
    max_repetition: float = option(
        0.3, "largest share of repeated word sequences in a note", minimum=0, maximum=1
    )
    max_near_duplicates: int = option(
        0, "most notes of one strategy that are all but the same; 0 for no limit", minimum=0
    )
    encoder: str = option(
        "",
        "text encoder that compares notes with the given facts: `minilm` (the extra of that name) or the "
        "folder of a transformers encoder; empty for none",
    )
    min_similarity: float = option(
        0.0,
        "least similarity of a note and its facts that the encoder sees, a cosine; 0 for no limit",
        minimum=0,
        maximum=1,
    )
    judge: str = option(
        "",
        "one of `writers`, which `mmfm notes audit` asks whether the facts support each note; empty for none",
    )


@dataclass
class PackConfig:
    """Shape of the shards."""

    samples_per_shard: int = option(500, "samples in each tar")
    short_side: int = option(0, "images with a longer short side are shrunk to it; 0 keeps all")
    quality: int = option(92, "JPEG quality of images that are encoded again")
    workers: int = option(0, "writing processes; 0 takes one per core")
    tasks: int = option(1, "jobs of a Slurm array that share the writing", minimum=1)


@dataclass
class ShardsConfig:
    """`mmfm data shard`: from raw images and metadata to a folder of shards."""

    root: str = option(MISSING, "folder that holds the raw data")
    output: str = option(MISSING, "folder of the shards to write")
    sources: list[SourceConfig] = option([], "the sets of images")
    patches: list[str] = option(
        ["builtin"], "files that correct labels of known rows (`mmfm data patches` shows them); [] for none"
    )
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    notes: list[str] = option(
        ["M"], "notes to write and pack: STRATEGY, or STRATEGY-WRITER for a writer other than `default`"
    )
    store: str = option("", "folder of the notes that language models wrote; needed for those alone")
    writers: dict[str, WriterConfig] = option({}, "who writes notes, by name: `default`, and any others")
    graph: GraphConfig = field(default_factory=GraphConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    tasks: int = option(1, "jobs of a Slurm array that share the writing of notes", minimum=1)
    split: SplitConfig = field(default_factory=SplitConfig)
    dedup: DedupConfig = field(default_factory=DedupConfig)
    pack: PackConfig = field(default_factory=PackConfig)
    max_reject_share: float = option(0.05, "stop when more than this share of a source's rows is rejected")
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
