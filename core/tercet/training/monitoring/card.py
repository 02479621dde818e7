"""The card of a trained model: what it is, what it was made of, how it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CardSettings:
    """`[card]`: what a recipe tells for the model's card.

    Attributes:
        name: What the model is called; "" is the name of its folder.
        license: Of the model; "" is that of the model that the training began with.
        data: What was trained on, in words: names, sizes, licences.
    """

    name: str = ""
    license: str = ""
    data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card tells.

    Attributes:
        name: What the model is called.
        base_model: What the training began with.
        license: Of the model; "" where nobody said.
        date: Of the training, as the caller writes it.
        seed: Of everything random.
        recipe: The whole recipe, TOML.
        data: What was trained on, in words: names, sizes, licences.
        representations: The views that it makes.
        figures: nDCG@10 by collection and plan, at the end.
        before: The same before training.
    """

    name: str
    base_model: str
    date: str
    seed: int
    recipe: str
    license: str = ""
    data: Sequence[str] = ()
    representations: Sequence[str] = ()
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    before: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """A card as Markdown, with the header that model hubs read."""
    header = {"license": facts.license, "base_model": facts.base_model, "library_name": "tercet"}
    told = [f"{key}: {value}" for key, value in header.items() if value]
    views = ", ".join(facts.representations) or "none"
    data = [f"* {line}" for line in facts.data] or ["Not stated."]
    return "\n".join(
        [
            "---",
            *told,
            "---",
            "",
            f"# {facts.name}",
            "",
            f"Trained from {facts.base_model} on {facts.date}, seed {facts.seed}. Views: {views}.",
            f"Licence: {facts.license or 'not stated; that of the base model and of the data'}.",
            "",
            "## Figures",
            "",
            *_figures(facts),
            "",
            "## Data",
            "",
            *data,
            "",
            "## Recipe",
            "",
            "```toml",
            facts.recipe.strip(),
            "```",
            "",
        ]
    )


def _figures(facts: CardFacts) -> list[str]:
    if not facts.figures:
        return ["Not measured."]
    rows = ["| collection | plan | nDCG@10 before | after |", "| --- | --- | --- | --- |"]
    for collection, plans in facts.figures.items():
        for plan, value in plans.items():
            before = facts.before.get(collection, {}).get(plan)
            shown = "" if before is None else f"{before:.4f}"
            rows.append(f"| {collection} | {plan} | {shown} | {value:.4f} |")
    return rows
