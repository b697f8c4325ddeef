"""Image and text towers, the dual encoder and the classifier on them, and their files."""

from mmfm.models import torchvision_compat

# Before anything imports timm or transformers' vision parts.
torchvision_compat.declare_operators()
