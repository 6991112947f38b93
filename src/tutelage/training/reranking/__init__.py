"""How a reranker learns from the scores that the teacher's rationales give to passages (KARD, section 3.2)."""

from tutelage.training.reranking.candidates import Pair, Ranking, question_order, search_space
from tutelage.training.reranking.settings import RerankerSettings, Temperature
from tutelage.training.reranking.train import TrainedReranker, train_reranker

__all__ = [
    "Pair",
    "Ranking",
    "RerankerSettings",
    "Temperature",
    "TrainedReranker",
    "question_order",
    "search_space",
    "train_reranker",
]
