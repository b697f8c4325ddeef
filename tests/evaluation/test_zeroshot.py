import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from mmfm.errors import ConfigError
from mmfm.evaluation.zeroshot import classify_by_prompt, fill_prompts, prompt_embeddings
from mmfm.taxonomy import CLASSES


def test_prompts_are_filled_for_every_class():
    filled = fill_prompts(["{name}!", "a {malignancy} one, {code}"])
    assert len(filled) == len(CLASSES)
    assert filled[6] == ["melanoma!", "a malignant one, MEL"]


@pytest.mark.parametrize("template", ["{naem}", "{name", "{}", "a lesion", "{name.nothing}"])
def test_template_that_cannot_serve_is_named(template):
    with pytest.raises(ConfigError, match="prompt template"):
        fill_prompts([template])


def test_no_template_is_refused():
    with pytest.raises(ConfigError, match="prompts is empty"):
        fill_prompts([])


def test_prompt_length_does_not_matter():
    """A prompt whose embedding is long must neither outweigh the other prompts nor the other classes."""
    embedded = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    stretched = embedded * torch.tensor([[1.0, 50.0], [9.0, 0.1], [1.0, 1.0]])[..., None]
    vectors = prompt_embeddings(stretched)
    assert torch.allclose(vectors, prompt_embeddings(embedded), atol=1e-6)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3))


def test_classes_absent_from_the_slice_are_no_candidates():
    prompts = torch.eye(4)
    images = normalize(torch.tensor([[0.5, 0.9, 0.0, 0.4], [0.1, 0.9, 0.0, 0.8]]), dim=-1)
    assert classify_by_prompt(images, prompts, np.array([0, 3])).tolist() == [0, 3]
    assert classify_by_prompt(images, prompts, np.arange(4)).tolist() == [1, 1]
