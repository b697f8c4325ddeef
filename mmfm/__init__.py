"""mmfm: pretraining, fine-tuning and evaluation of image+note foundation models."""

__version__ = "0.1.0"
