"""The key of a request: the same for the same question, another for anything that changes what is written."""

import subprocess
import sys

import pytest
from asking import request

from tutelage.annotation.requests import Message, Request


def test_the_key_is_the_same_in_every_process():
    """A key that changed with the process would ask, and pay, for everything again."""
    code = (
        "from tutelage.annotation.requests import Message, Request;"
        "print(Request('m', (Message('user', 'Zürich?'),), {'max_tokens': 5, 'temperature': 0.7}).key)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == Request("m", (Message("user", "Zürich?"),), {"temperature": 0.7, "max_tokens": 5}).key


@pytest.mark.parametrize(
    "other",
    [
        request("another question"),
        request(temperature=0.8),
        request(max_tokens=51),
        request(stop=["\n"]),
        Request("m2", request().messages, request().sampling),
        Request("m", (Message("system", "Be brief."), *request().messages), request().sampling),
        Request("m", request().messages, request().sampling, "completion"),
        Request("m", request().messages, request().sampling, weights="0123"),
    ],
)
def test_whatever_changes_the_text_changes_the_key(other: Request):
    """An answer to another prompt, taken for this one's, would be taught with the wrong question."""
    assert other.key != request().key


def test_samples_are_no_part_of_the_key_and_repeated_calls_move_a_seed_on():
    """A server that writes one text a call, asked twice with one seed, writes the same text twice."""
    seeded = request(seed=7)
    assert seeded.asking((0, 1, 2)) == {**seeded.body, "n": 3}
    assert [seeded.asking((sample,))["seed"] for sample in (0, 1, 2)] == [7, 8, 9]
    assert "n" not in seeded.asking((2,))


def test_a_completion_gets_its_messages_as_one_text():
    """Base models know no roles."""
    asked = Request("m", (Message("system", "a"), Message("user", "b")), {}, "completion")
    assert asked.body == {"model": "m", "prompt": "a\n\nb"}


def test_a_prompt_has_fewer_tokens_than_the_bound():
    """A budget holds only if no prompt can be longer than was reckoned: a token is at least a byte."""
    from tokenizers import ByteLevelBPETokenizer

    bytewise = ByteLevelBPETokenizer()
    bytewise.train_from_iterator(["x"], vocab_size=256, show_progress=False)
    for text in ("", "Tova has 12 beads.", "Zürich 日本語 🙂 ½", "a" * 500, "\n\n\t  x"):
        assert len(bytewise.encode(text).ids) == len(text.encode()) <= request(text).most_read


def test_a_prompt_has_fewer_tokens_than_the_bound_for_a_tokenizer_that_changes_it_first():
    """T5's kind reads one ligature as eighteen letters, so its tokens outnumber the bytes that were sent."""
    import unicodedata

    for text in ("ﷺ" * 50, "㍿" * 50, "\u0958" * 50, "\ufb2c" * 50):
        longest = max(len(unicodedata.normalize(form, text).encode()) for form in ("NFC", "NFKC"))
        assert longest > len(text.encode())
        assert longest <= request(text).most_read


def test_of_two_limits_the_larger_counts():
    """A server reads the one that it knows, and nobody can say which."""
    assert request(max_tokens=50, max_completion_tokens=80).most_written == 80
    assert request(max_tokens=None).most_written is None


def test_weights_are_no_part_of_what_is_sent():
    """A digest of this machine's files means nothing to a server."""
    assert "weights" not in Request("m", request().messages, {}, weights="0123").asking((0, 1))
