"""Parameters of a drawn lesion: what each diagnosis tends to look like, and one lesion drawn from that.

Everything that a `Lesion` names is drawn by `data_tools.demo.draw`, so the words made from it are true of
the picture. The habits of the diagnoses follow dermatology textbooks loosely; they overlap on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SITES = (
    "scalp",
    "face",
    "neck",
    "chest",
    "abdomen",
    "back",
    "shoulder",
    "forearm",
    "hand",
    "thigh",
    "lower leg",
    "foot",
)


@dataclass(frozen=True)
class Habit:
    """How a diagnosis looks: alternatives with their probabilities.

    `colours` come in the order base colour, then others; `always` structures are in every lesion and
    `often` ones in half of them. `size` is the range of the diameter in millimetres.
    """

    code: str
    subclass: str
    share: float
    asymmetry: dict[str, float]
    border: dict[str, float]
    base: tuple[str, ...]
    others: tuple[str, ...]
    other_count: tuple[int, int]
    always: tuple[str, ...]
    often: tuple[str, ...]
    size: tuple[float, float]
    age: float


HABITS: tuple[Habit, ...] = (
    Habit(
        "BEK", "seborrheic keratosis", 0.8,
        {"symmetric": 0.6, "slightly asymmetric": 0.4}, {"sharp": 0.9, "irregular": 0.1},
        ("light brown", "dark brown"), ("yellow", "dark brown", "black"), (1, 2),
        ("milia-like cysts",), ("furrows",), (6.0, 13.0), 65,
    ),
    Habit(
        "BEK", "solar lentigo", 0.5,
        {"symmetric": 0.4, "slightly asymmetric": 0.6}, {"sharp": 0.6, "irregular": 0.4},
        ("light brown", "yellow"), ("light brown",), (0, 1),
        ("furrows",), ("milia-like cysts",), (6.0, 12.0), 66,
    ),
    Habit(
        "DF", "dermatofibroma", 1.0,
        {"symmetric": 0.9, "slightly asymmetric": 0.1}, {"blurred": 0.8, "sharp": 0.2},
        ("light brown", "pink"), ("light brown",), (0, 1),
        ("white central patch",), ("pigment network",), (4.0, 8.5), 44,
    ),
    Habit(
        "NEV", "melanocytic nevus", 1.1,
        {"symmetric": 0.9, "slightly asymmetric": 0.1}, {"sharp": 0.7, "blurred": 0.3},
        ("light brown", "dark brown"), ("dark brown", "light brown"), (0, 1),
        (), ("pigment network", "globules"), (3.0, 7.5), 38,
    ),
    Habit(
        "NEV", "dysplastic nevus", 0.5,
        {"slightly asymmetric": 0.8, "symmetric": 0.2}, {"irregular": 0.6, "blurred": 0.4},
        ("light brown", "dark brown"), ("dark brown", "pink"), (1, 2),
        ("pigment network",), ("dots",), (5.0, 9.0), 42,
    ),
    Habit(
        "NEV", "blue nevus", 0.3,
        {"symmetric": 1.0}, {"sharp": 0.7, "blurred": 0.3},
        ("blue-gray",), ("black",), (0, 1),
        (), (), (3.0, 7.0), 40,
    ),
    Habit(
        "VASC", "vascular lesion", 1.0,
        {"symmetric": 0.6, "slightly asymmetric": 0.4}, {"sharp": 0.9, "blurred": 0.1},
        ("red", "purple"), ("purple", "black"), (0, 1),
        ("red lacunae",), (), (3.0, 8.0), 50,
    ),
    Habit(
        "ACK", "actinic keratosis", 1.0,
        {"slightly asymmetric": 0.7, "symmetric": 0.3}, {"blurred": 0.9, "irregular": 0.1},
        ("pink", "red"), ("light brown", "yellow"), (0, 1),
        ("white scale",), (), (5.0, 11.0), 70,
    ),
    Habit(
        "BCC", "basal cell carcinoma", 1.0,
        {"slightly asymmetric": 0.7, "symmetric": 0.3}, {"sharp": 0.6, "blurred": 0.4},
        ("pink", "white"), ("blue-gray", "light brown"), (0, 2),
        ("branching vessels",), ("blue-gray ovoid nests", "ulceration"), (5.0, 12.0), 68,
    ),
    Habit(
        "MEL", "melanoma", 0.8,
        {"asymmetric": 0.8, "slightly asymmetric": 0.2}, {"irregular": 0.9, "blurred": 0.1},
        ("dark brown", "black"), ("blue-gray", "light brown", "red", "white", "black"), (2, 3),
        (), ("streaks", "dots", "pigment network", "globules"), (7.0, 15.0), 60,
    ),
    Habit(
        "MEL", "lentigo maligna", 0.3,
        {"asymmetric": 0.9, "slightly asymmetric": 0.1}, {"irregular": 0.6, "blurred": 0.4},
        ("light brown",), ("dark brown", "black", "blue-gray"), (2, 3),
        ("dots",), ("pigment network",), (8.0, 15.0), 72,
    ),
    Habit(
        "SCC", "squamous cell carcinoma", 0.7,
        {"asymmetric": 0.5, "slightly asymmetric": 0.5}, {"irregular": 0.5, "sharp": 0.5},
        ("red", "pink"), ("white", "yellow"), (0, 1),
        ("central keratin",), ("ulceration", "white scale"), (8.0, 15.0), 74,
    ),
    Habit(
        "SCC", "squamous cell carcinoma in situ", 0.3,
        {"slightly asymmetric": 0.7, "asymmetric": 0.3}, {"irregular": 0.7, "sharp": 0.3},
        ("pink", "red"), ("light brown",), (0, 1),
        ("white scale", "red dots"), (), (8.0, 14.0), 72,
    ),
)  # fmt: skip

STRUCTURELESS = "structureless"


@dataclass(frozen=True)
class Lesion:
    """One lesion: what is drawn, and who carries it. `seed` fixes the details that no word tells."""

    code: str
    subclass: str
    asymmetry: str  # "symmetric", "slightly asymmetric", "asymmetric"
    border: str  # "sharp", "irregular", "blurred"
    colours: tuple[str, ...]  # base colour first
    structures: tuple[str, ...]
    size_mm: float  # diameter
    skin_tone: int  # Fitzpatrick 1 to 6; it is the colour of the skin that is drawn
    age: int  # years
    sex: str
    site: str
    seed: int

    def describe(self) -> str:
        """The picture in one sentence."""
        article = "An" if self.asymmetry.startswith("a") else "A"
        structures = (
            "without inner structures"
            if self.structures == (STRUCTURELESS,)
            else f"with {_and(self.structures)}"
        )
        adjective = {"sharp": "a sharp", "irregular": "an irregular", "blurred": "a blurred"}[self.border]
        return (
            f"{article} {self.asymmetry} lesion of about {self.size_mm:.0f} mm with {adjective} border, "
            f"{_and(self.colours)} in colour, {structures}."
        )


def draw_lesion(seed: int) -> Lesion:
    """A lesion as a pure function of its seed."""
    rng = np.random.default_rng(seed)
    shares = np.array([habit.share for habit in HABITS])
    habit = HABITS[rng.choice(len(HABITS), p=shares / shares.sum())]
    return Lesion(
        code=habit.code,
        subclass=habit.subclass,
        asymmetry=_pick(rng, habit.asymmetry),
        border=_pick(rng, habit.border),
        colours=_colours(rng, habit),
        structures=_structures(rng, habit),
        size_mm=round(float(rng.uniform(*habit.size)), 1),
        skin_tone=int(rng.choice(6, p=[0.22, 0.3, 0.22, 0.12, 0.08, 0.06])) + 1,
        age=int(np.clip(rng.normal(habit.age, 13), 5, 95) // 5 * 5),
        sex=str(rng.choice(["female", "male"])),
        site=str(rng.choice(SITES)),
        seed=seed,
    )


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _colours(rng: np.random.Generator, habit: Habit) -> tuple[str, ...]:
    base = str(rng.choice(list(habit.base)))
    count = int(rng.integers(habit.other_count[0], habit.other_count[1] + 1))
    rest = [str(colour) for colour in rng.permutation([c for c in habit.others if c != base])]
    return (base, *rest[:count])


def _structures(rng: np.random.Generator, habit: Habit) -> tuple[str, ...]:
    chosen = [*habit.always, *(s for s in habit.often if rng.random() < 0.5)]
    return tuple(chosen) or (STRUCTURELESS,)


def _and(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
