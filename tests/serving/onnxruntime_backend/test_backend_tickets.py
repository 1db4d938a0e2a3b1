"""One request's answer, put together from the runs of its rows."""

import numpy as np

from serving.onnxruntime_backend.merging import Outcome
from serving.onnxruntime_backend.tickets import Ticket


def test_a_run_that_made_more_for_another_request_does_not_spoil_this_ones_answer() -> None:
    answers: list[Outcome] = []
    ticket = Ticket({"ids": np.zeros((2, 3))}, (3, 3), ("label",), answers.append)
    ticket.post(0, {"label": np.array([[7]]), "score": np.array([[0.5]])})
    ticket.post(1, {"label": np.array([[8]])})
    (answer,) = answers
    assert isinstance(answer, dict)
    assert {name: value.tolist() for name, value in answer.items()} == {"label": [[7], [8]]}


def test_a_request_of_one_part_gets_what_it_asked_for_and_no_more() -> None:
    answers: list[Outcome] = []
    ticket = Ticket({"ids": np.zeros((1, 3))}, (3,), ("label",), answers.append)
    ticket.post(0, {"label": np.array([[7]]), "score": np.array([[0.5]])})
    (answer,) = answers
    assert isinstance(answer, dict)
    assert set(answer) == {"label"}
