"""Where the sparse head begins: at the rarity of words."""

from collections.abc import Sequence

import numpy as np
import torch

from training_mini.batches import Pool
from training_mini.scoring import DROPPED

VOCABULARY = 30_522
RIDGE = 1e-3  # of the mean square of a state's dimension


def regress_rarity(pools: Sequence[Pool]) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the head whose weights are nearest to the square root of the IDF.

    Lexical weights of query and document are multiplied, so each side gets a root. Rarity is
    counted over the documents of all pools that training may see.

    Returns:
        Weight [1, 384] and bias [1], the solution of the ridge regression.
    """
    chosen = [(pool.documents, int(doc)) for pool in pools for doc in pool.candidates]
    counts = np.zeros(VOCABULARY)
    for documents, doc in chosen:
        counts[np.unique(documents.ids[documents.rows(doc)].numpy())] += 1
    rarity = np.log1p((len(chosen) - counts + 0.5) / (counts + 0.5))  # as BM25 in Lucene
    goal = torch.from_numpy(np.sqrt(rarity / rarity.max())).float()
    width = chosen[0][0].upper.shape[1] + 1
    normal, moment = torch.zeros(width, width), torch.zeros(width)
    dropped = torch.tensor(DROPPED)
    for documents, doc in chosen:
        ids = documents.ids[documents.rows(doc)]
        kept = ~torch.isin(ids, dropped)
        states = documents.upper[documents.rows(doc)][kept].float()
        states = torch.nn.functional.pad(states, (0, 1), value=1.0)  # the bias's column
        normal += states.T @ states
        moment += states.T @ goal[ids[kept]]
    ridge = RIDGE * normal.trace() / width
    solution = torch.linalg.solve(normal + ridge * torch.eye(width), moment)
    return solution[None, :-1], solution[-1:]
