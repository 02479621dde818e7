"""The scorer of pairs for LangChain; its base class is there since langchain-core 1.2.19."""

from typing import Any, NoReturn, Self

from langchain_core import cross_encoders
from pydantic import BaseModel, ConfigDict, Field

from langchain_tercet.convert import LoadedEncoder
from tercet.adapting import refuse_pickling
from tercet.plans import Plan
from tercet.reranker import Reranker


class TercetCrossEncoder(BaseModel, cross_encoders.BaseCrossEncoder):
    """Scores pairs of a query and a text, as `CrossEncoderReranker` of langchain-classic asks.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.
        plan: Name of a plan or a `Plan` that scores a text by itself: a sum, not normalised.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str | None = None
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    plan: str | Plan = "multi_vector"

    def model_post_init(self, context: Any) -> None:
        """Refuse plans by which a text's score depends on others.

        Raises:
            ValueError: Such a plan, or one that there is not.
        """
        del context
        plan = self._reranker.plan
        if plan.fusion == "rrf" or plan.normalise != "none":
            raise ValueError(
                f"plan {self.plan!r} scores a text by its place among others, so a pair alone has "
                "no score: take a weighted sum without normalisation, or a TercetReranker"
            )

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """The scores of pairs of a query and a text, in the order given."""
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(text_pairs):
            places.setdefault(query, []).append(place)
        scores = [0.0] * len(text_pairs)
        for query, own in places.items():
            for hit in self._reranker.rerank(query, [text_pairs[place][1] for place in own]):
                scores[own[int(hit.document.id)]] = hit.score
        return scores

    @property
    def _reranker(self) -> Reranker:
        return Reranker(self.encoder, plan=self.plan)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)
