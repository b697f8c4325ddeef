"""Make timm importable beside a torchvision whose compiled operators do not load.

timm needs torchvision's pure-Python parts. A torchvision build that belongs to another torch build (the
package registry's CUDA build beside a CPU torch, say) fails at import, because it registers fake kernels for
two operators that its compiled library would have declared. Declaring their schemas is enough; nothing here
ever calls them. A torchvision that loads properly is left alone.
"""

from __future__ import annotations

import sys

import torch

SCHEMAS = {
    name: f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")
}
_libraries: list[torch.library.Library] = []  # a declaration lives as long as its library object


def declare_operators() -> None:
    """Import torchvision; where that fails for its operators, declare their schemas and import again.

    Raises what the import raises if it fails for another reason (torchvision is not installed).
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _forget_partial_import()
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name, schema in SCHEMAS.items():
            if not hasattr(torch.ops.torchvision, name):
                library.define(schema)
        _libraries.append(library)
        import torchvision  # noqa: F401


def _forget_partial_import() -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]
