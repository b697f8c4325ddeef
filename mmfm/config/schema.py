"""The recipes of `mmfm pretrain`, `mmfm finetune` and `mmfm evaluate`: every setting with its default.

Recipes in `configs/` say only what differs from here. `docs/config.md` is generated from these classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from mmfm.config.option import option


@dataclass
class RunConfig:
    """The run folder, `root/name`: everything that a run writes is below it."""

    name: str = option(MISSING, "name of the run; its folder is root/name")
    root: str = option("runs", "folder that holds the runs")


@dataclass
class AugmentConfig:
    """Augmentation of training images. Evaluation takes the whole image, resized."""

    scale: list[float] = option(
        [0.6, 1.0],
        "least and greatest share of the image's area that a crop keeps",
        minimum=0.01,
        maximum=1,
        length=2,
    )
    flip: bool = option(True, "flip left-right and up-down, each with probability one half")
    rotate90: bool = option(True, "turn by a random multiple of 90 degrees")
    brightness: float = option(0.2, "strength of the brightness change; 0 is off", minimum=0, maximum=1)
    contrast: float = option(0.2, "strength of the contrast change; 0 is off", minimum=0, maximum=1)
    saturation: float = option(0.2, "strength of the saturation change; 0 is off", minimum=0, maximum=1)
    hue: float = option(
        0.02, "greatest turn of the hue, as a share of the circle; 0 is off", minimum=0, maximum=0.5
    )


@dataclass
class WeightConfig:
    """How often samples are seen. A weight of 2 means twice an epoch, 0.5 every other epoch."""

    dataset: dict[str, float] = option({}, "weight by dataset name; 1 where not named", minimum=0)
    label: dict[str, float] = option({}, "weight by class code (MEL, NEV, ...); 1 where not named", minimum=0)
    balance: float = option(
        0.0, "0 keeps the natural class shares, 1 makes all classes equally frequent", minimum=0, maximum=1
    )


@dataclass
class DataConfig:
    """The training stream: which shards, in which order, with which notes and augmentation."""

    shards: str = option(MISSING, "folder of shards, as `mmfm data shard` writes it (holds dataset.json)")
    split: str = option("train", "split to train on")
    image_size: int = option(224, "side of the square images that the model sees, in pixels", minimum=8)
    notes: dict[str, float] = option(
        {"M": 1.0},
        "notes of the shards, or mixtures of them (L, LM, SM, DM, whole, whole_all; LM-WRITER: those of one "
        "writer), with the share of samples that each gets",
        minimum=0,
    )
    max_tokens: int = option(96, "longest note in tokens; the rest is cut", minimum=3)
    window: int = option(16, "shards open at once; samples are mixed within them", minimum=1)
    workers: int = option(2, "decoding threads in each process", minimum=0)
    prefetch: int = option(4, "batches prepared ahead", minimum=1)
    max_corrupt_share: float = option(
        0.01, "stop when more than this share of the samples cannot be read", minimum=0, maximum=1
    )
    weights: WeightConfig = option(WeightConfig(), "how often samples are seen")
    augment: AugmentConfig = option(AugmentConfig(), "augmentation of the training images")
    augment_on: str = option("auto", "where augmentation runs", choices=("auto", "cpu", "device"))


@dataclass
class ImageTowerConfig:
    """The image tower: any timm model that returns pooled features."""

    name: str = option("vit_small_patch16_224", "timm model name")
    weights: str = option("", "local .safetensors or .pth file to start from; empty starts at random")
    options: dict[str, Any] = option({}, "further arguments of timm.create_model (embed_dim, depth, ...)")
    freeze: bool = option(False, "keep the tower as it is")
    mean: list[float] = option([0.485, 0.456, 0.406], "mean of each channel, in [0, 1]", length=3)
    std: list[float] = option(
        [0.229, 0.224, 0.225], "standard deviation of each channel, in [0, 1]", minimum=0.001, length=3
    )


@dataclass
class TextTowerConfig:
    """The text tower: a transformers encoder, by its config or by a local folder with weights."""

    name: str = option(
        "", "local folder with config.json and weights, or package:NAME for one shipped in a package"
    )
    config: dict[str, Any] = option({}, "transformers config (model_type, ...) to start at random")
    tokenizer: str = option(
        "", "folder or tokenizer.json; `fit` trains one on the notes; empty: that of `name`"
    )
    vocab_size: int = option(2000, "entries of a tokenizer that is fitted", minimum=300)
    pooling: str = option("cls", "how token features become one vector", choices=("cls", "mean", "pooler"))
    freeze: bool = option(False, "keep the tower as it is; its output is then computed once and cached")


@dataclass
class ModelConfig:
    """Two towers and their projection into one space."""

    preset: str = option("", "named starting point, listed by `mmfm pretrain --keys`; other keys change it")
    image: ImageTowerConfig = option(ImageTowerConfig(), "the image tower")
    text: TextTowerConfig = option(TextTowerConfig(), "the text tower")
    embed_dim: int = option(256, "width of the shared space", minimum=1)
    head: str = option("linear", "projection head of both towers", choices=("linear", "mlp"))
    temperature: float = option(0.07, "temperature at the start; it is learned", minimum=0.01)


@dataclass
class TrainConfig:
    """Length, batch and numerics. Optimizer steps are the clock."""

    steps: int = option(1000, "optimizer steps", minimum=1)
    global_batch: int = option(
        256, "samples per optimizer step over all processes: the contrastive batch", minimum=1
    )
    micro_batch: int = option(
        0, "samples per process at once; 0 takes the whole share of the process", minimum=0
    )
    precision: str = option("fp32", "number format of the computation", choices=("fp32", "bf16"))
    zero_stage: int = option(0, "DeepSpeed ZeRO stage, 0 to 3", minimum=0, maximum=3)
    seed: int = option(0, "seed of the order, the augmentation and the initial weights", minimum=0)


@dataclass
class OptimConfig:
    """AdamW with linear warm-up and cosine decay, by step."""

    lr: float = option(5e-4, "learning rate at the end of the warm-up", minimum=0)
    tower_lr_scale: float = option(
        1.0, "factor on lr for the towers (heads and temperature keep lr)", minimum=0
    )
    betas: list[float] = option(
        [0.9, 0.98], "decay of the first and second moment", minimum=0, maximum=0.9999, length=2
    )
    eps: float = option(1e-6, "added to the denominator", minimum=0)
    weight_decay: float = option(
        0.1, "decay of matrices; biases, norms and the temperature have none", minimum=0
    )
    warmup_steps: int = option(50, "steps of linear warm-up", minimum=0)
    final_lr_share: float = option(0.0, "share of lr left at the last step", minimum=0, maximum=1)
    clip_norm: float = option(1.0, "greatest norm of the gradient; 0 is off", minimum=0)


@dataclass
class CheckpointConfig:
    """When the state is saved, and how much of it is kept."""

    every: int = option(200, "steps between saves; the last step is always saved", minimum=1)
    keep: int = option(2, "newest checkpoints kept; older ones are deleted", minimum=1)
    keep_every: int = option(0, "steps whose multiples are kept for good; 0 is none", minimum=0)
    max_failed: int = option(
        3, "saves in a row that may fail, for want of space or otherwise, before the run stops", minimum=1
    )


@dataclass
class LogConfig:
    """What is written while training runs."""

    every: int = option(10, "steps between lines of metrics.jsonl, TensorBoard and progress", minimum=1)


@dataclass
class WatchdogConfig:
    """How long a process may be in one place before the watchdog ends it; 0 is for ever."""

    start_seconds: int = option(
        1800, "for a part of the start (model, caches, loading) and for a save", minimum=0
    )
    step_seconds: int = option(600, "for a part of a step: waiting for data, computing, agreeing", minimum=0)


@dataclass
class EvalsConfig:
    """Evaluations that a run on Slurm submits as jobs of their own while it goes on."""

    every: int = option(0, "steps between them, a multiple of checkpoint.keep_every; 0 is none", minimum=0)
    recipe: str = option("", "recipe of `mmfm evaluate`; checkpoint and shards are filled in")
    set: dict[str, Any] = option({}, "values that go over the recipe, nested as in a recipe")
    cluster: str = option("", "cluster profile of these jobs; empty is one process of the run's own profile")


@dataclass
class ClusterConfig:
    """Where a job runs. `cluster=NAME` takes configs/cluster/NAME.yaml, `cluster.KEY=...` changes it."""

    kind: str = option("local", "this machine, or a Slurm cluster", choices=("local", "slurm"))
    nodes: int = option(1, "nodes", minimum=1)
    processes: int = option(1, "processes on each node; on Slurm one for each GPU", minimum=1)
    cpus: int = option(0, "CPU cores of each process; 0 shares out those of this machine", minimum=0)
    gpus: str = option("", "what to ask Slurm for, on each node: `4` or `a100:4`; empty is none")
    memory_gb: int = option(0, "memory of each node in GB; 0 leaves it to the cluster", minimum=0)
    hours: float = option(12.0, "time limit", minimum=0.01)
    partition: str = option("", "Slurm partition")
    account: str = option("", "Slurm account")
    qos: str = option("", "Slurm quality of service")
    constraint: str = option("", "Slurm constraint on nodes")
    exclude: str = option("", "nodes never to use, as Slurm writes them: n[3-4],n9")
    min_nodes: int = option(
        0, "fewest nodes to start on where `nodes` are not to be had; 0 insists on `nodes`", minimum=0
    )
    gpu_flag: str = option(
        "gpus-per-node", "how the site wants GPUs asked for", choices=("gpus-per-node", "gres")
    )
    gres: list[str] = option([], "further generic resources of each node: lscratch:100")
    modules: list[str] = option([], "environment modules that the job loads")
    setup: list[str] = option([], "shell lines that run before the job: activation, exports")
    environment: dict[str, str] = option({}, "environment variables of every process")
    python: str = option(
        "", "command that starts Python on the nodes (apptainer exec --nv IMAGE python); empty: this Python"
    )
    interface: str = option("", "network interface between the nodes (ib0); empty lets NCCL and gloo choose")
    scratch: str = option(
        "", "folder on each node for caches and temporary files; $VARIABLES of the job are filled in"
    )
    extra: dict[str, str] = option({}, "further sbatch options by their long name")
    save_seconds: int = option(
        90, "time before the time limit at which a job saves and requeues itself", minimum=1
    )
    chain: int = option(
        1,
        "jobs queued in a row, each going on from the one before, where sites forbid requeueing; "
        "for a run by itself, not in pipelines and sweeps",
        minimum=1,
    )
    max_failures: int = option(
        3, "starts in a row that may fail without a new checkpoint; then the job stays down", minimum=1
    )
    meeting_seconds: int = option(
        300, "for all processes of a start to find each other in the run folder", minimum=1
    )
    min_free_gb: float = option(1.0, "least free space for run folder and scratch on each node", minimum=0)
    min_bandwidth: float = option(
        0.0, "least all-reduce bandwidth between all processes, in GB/s; 0 is none", minimum=0
    )
    check_gpus: bool = option(True, "whether each node must show the GPUs that were asked for, in health")


@dataclass
class PretrainConfig:
    """`mmfm pretrain`: contrastive pretraining of an image and a text tower."""

    run: RunConfig = field(default_factory=RunConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)
    evals: EvalsConfig = field(default_factory=EvalsConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    init: str = option(
        "",
        "run folder or checkpoint whose towers to start from, in place of `model` "
        "(a checkpoint of the run itself goes first)",
    )


@dataclass
class ClassifyConfig:
    """The classification task of `mmfm finetune`."""

    inputs: str = option("image", "what the classifier sees", choices=("image", "note", "both"))
    label_smoothing: float = option(
        0.0, "share of the target spread over all classes", minimum=0, maximum=0.99
    )
    freeze_towers: bool = option(False, "train the classifier alone, on frozen towers")


@dataclass
class FinetuneConfig(PretrainConfig):
    """`mmfm finetune`: a classifier on a pretrained (`init`) or a fresh model, by the same trainer."""

    task: ClassifyConfig = field(default_factory=ClassifyConfig)


@dataclass
class EvaluateConfig:
    """`mmfm evaluate`: suites of measurements on a checkpoint."""

    run: RunConfig = field(default_factory=RunConfig)
    checkpoint: str = option(MISSING, "run folder (its newest checkpoint) or checkpoint folder")
    shards: str = option(MISSING, "folder of shards to evaluate on")
    split: str = option("test", "split to evaluate on")
    probe_split: str = option("train", "split that the linear probe is fitted on")
    suites: list[str] = option(
        ["zeroshot", "retrieval", "probe"], "any of zeroshot, retrieval, probe, classify"
    )
    note: str = option("M", "note strategy of retrieval and of classifiers that read notes")
    batch: int = option(128, "samples per batch", minimum=1)
    workers: int = option(2, "decoding threads", minimum=0)
    max_samples: int = option(0, "most samples of each dataset and domain; 0 takes all", minimum=0)
    bootstrap: int = option(1000, "resamples for the 95% intervals", minimum=10)
    seed: int = option(0, "seed of the bootstrap and of subsampling", minimum=0)
    prompts: list[str] = option(
        [
            "A skin lesion: {name}.",
            "The diagnosis of this lesion is {name}.",
            "Image of a {malignancy} lesion, {name}.",
        ],
        "zero-shot templates; {name}, {code} and {malignancy} are filled in, embeddings are averaged",
    )
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
