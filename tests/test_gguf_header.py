"""Headers of GGUF files, against the `gguf` package's own reader and against files that are none."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFWriter, Keys

from tiny_gguf import write_gguf
from tutelage.gguf.header import DamagedError, read_header


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", stored="Q8_0")


def test_it_says_what_the_reader_of_llama_cpp_says(file: Path):
    """A header that is read wrong gives a wrong network or tokenizer."""
    ours, peer = read_header(file), GGUFReader(file)
    assert ours.architecture == "llama"
    assert ours.values.keys() == {key for key in peer.fields if not key.startswith("GGUF.")}
    for key, value in ours.values.items():
        assert value == pytest.approx(peer.get_field(key).contents()), key  # pyright: ignore
    assert [t.name for t in ours.tensors] == [t.name for t in peer.tensors]
    for mine, theirs in zip(ours.tensors, peer.tensors, strict=True):
        assert mine.shape == tuple(reversed(theirs.shape.tolist()))
        assert (mine.type, mine.bytes) == (theirs.tensor_type.name, theirs.n_bytes)
    assert ours.weights == sum(int(t.n_elements) for t in peer.tensors)
    assert ours.quantisation == "Q8_0"


def test_a_file_cut_anywhere_is_damaged(file: Path, tmp_path: Path):
    """Half a download must be told before a study starts, not by an odd model."""
    whole, cut = file.read_bytes(), tmp_path / "cut.gguf"
    header = GGUFReader(file).data_offset
    lengths = [*range(0, 64), *range(64, header, 97), *range(header, len(whole), 5000), len(whole) - 1]
    for length in lengths:
        cut.write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            read_header(cut)


def test_damaged_bytes_are_read_or_told(file: Path, tmp_path: Path):
    """Any other exception is a traceback, and a length that is believed is all of the memory."""
    whole, path, chance = file.read_bytes(), tmp_path / "hit.gguf", random.Random(1)
    header, told = GGUFReader(file).data_offset, 0
    for _ in range(400):
        hit = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(200) if chance.random() < 0.5 else chance.randrange(header)
            hit[at] = chance.randrange(256)
        path.write_bytes(hit)
        try:
            read_header(path)
        except DamagedError:
            told += 1
    assert told > 100


@pytest.mark.parametrize("size", [0, 3, 4, 24, 5000])
def test_random_bytes_are_no_model(tmp_path: Path, size: int):
    """A web page saved as model.gguf is the commonest damage of all."""
    path = tmp_path / "noise.gguf"
    path.write_bytes(random.Random(size).randbytes(size))
    with pytest.raises(DamagedError, match=r"no GGUF file|ends within"):
        read_header(path)


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (b"PK\x03\x04" + b"\0" * 40, "no GGUF file"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 1, 1), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 9, 1, 1), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "general.architecture"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63), "ends within"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**62), "a text of"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"k" + struct.pack("<IIQ", 9, 0, 2**60), "a list of"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"k" + struct.pack("<IIQ", 9, 9, 1), "a list of type 9"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"k" + struct.pack("<I", 77), "of type 77"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"\xff" + struct.pack("<IB", 0, 1), "not UTF-8"),
    ],
)
def test_each_fault_is_told_by_name(tmp_path: Path, begin: bytes, told: str):
    """`struct.error: unpack requires a buffer` helps nobody."""
    path = tmp_path / "odd.gguf"
    path.write_bytes(begin)
    with pytest.raises(DamagedError, match=told):
        read_header(path)


def test_an_array_of_another_alignment_is_found(tmp_path: Path):
    """The tensors begin at a multiple of the alignment that the file names, not always of 32."""

    def change(writer: GGUFWriter) -> None:
        writer.add_custom_alignment(64)

    path = write_gguf(tmp_path / "aligned.gguf", change=change)
    assert read_header(path).values[Keys.General.ALIGNMENT] == 64
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError):
        read_header(path)
