"""What a GGUF file says of itself, read without its weights and checked against its size.

    header = read_header(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))
    header.architecture                            # "llama"
    header.values["tokenizer.ggml.eos_token_id"]   # 2
    header.tensors[0]                              # Tensor("token_embd.weight", (49152, 576), "Q8_0", 0, 30081024)

The format: magic, version, two counts; key, type and value of each entry; name, shape, type and offset of each tensor;
from the next multiple of the alignment on, the tensors. Numbers are little-endian. Nothing is trusted: a count or a
length that the file has no room for is an error, not an allocation.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tutelage.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Of values of a fixed size, as `struct` writes them."""
STRING, ARRAY = 8, 9
LONGEST_STRING = 2**26
MOST_VALUES = 2**24
"""Of an array. The largest vocabularies have a sixtieth of that."""
MOST_DIMENSIONS = 4


class DamagedError(ValueError):
    """A file that is no whole GGUF; the message says where."""


class Tensor(NamedTuple):
    """Where a tensor is, and how it is stored."""

    name: str
    shape: tuple[int, ...]
    """In the order of torch: rows first."""
    type: str
    """As GGML calls it: F32, F16, Q4_1, ..."""
    offset: int
    """From the beginning of the tensors."""
    bytes: int


@dataclass(frozen=True)
class Header:
    """Everything in a file but its weights."""

    architecture: str
    values: Mapping[str, Any]
    """Metadata by key; arrays are lists."""
    tensors: tuple[Tensor, ...]

    @property
    def weights(self) -> int:
        """How many numbers the network has."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def quantisation(self) -> str:
        """The type that most bytes are stored in."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.bytes
        return max(sizes, key=lambda type: sizes[type])


def read_header(path: Path) -> Header:
    """The header of a GGUF file.

    Raises DamagedError for a file that is none or not whole, and ModelError where `gguf` is not installed.
    """
    with path.open("rb") as file:
        return _read(_Reader(file, path.stat().st_size))


def _read(reader: _Reader) -> Header:
    magic = reader.take(4, "its magic")
    if magic != MAGIC:
        raise DamagedError(f"it begins with {magic!r} instead of {MAGIC!r}, so it is no GGUF file")
    version: int = reader.number("I", "its version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        kind = "big-endian" if swapped in VERSIONS else f"version {version}"
        raise DamagedError(f"it is {kind}; read are little-endian files of version {' and '.join(map(str, VERSIONS))}")
    tensors, entries = reader.number("Q", "its counts"), reader.number("Q", "its counts")
    values: dict[str, Any] = {}
    for number in range(entries):
        key = reader.string(f"key {number} of {entries}")
        values[key] = reader.value(reader.number("I", key), key)
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise DamagedError("it has no `general.architecture`")
    found = [_tensor(reader, f"tensor {number} of {tensors}") for number in range(tensors)]
    if not found:
        raise DamagedError("it has no tensors")
    _check_places(found, values.get("general.alignment", 32), reader)
    return Header(architecture, values, tuple(found))


def _tensor(reader: _Reader, what: str) -> Tensor:
    name = reader.string(what)
    dimensions: int = reader.number("I", name)
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise DamagedError(f"{name!r} has {dimensions} dimensions, expected 1 to {MOST_DIMENSIONS}")
    shape = tuple(reversed([reader.number("Q", name) for _ in range(dimensions)]))
    number, offset = reader.number("I", name), reader.number("Q", name)
    type, block, block_bytes = _stored_as(number, name)
    if not all(shape) or shape[-1] % block:
        raise DamagedError(f"{name!r} has the shape {shape}, which {type} in blocks of {block} cannot have")
    return Tensor(name, shape, type, offset, prod(shape) // block * block_bytes)


def _check_places(tensors: list[Tensor], alignment: Any, reader: _Reader) -> None:
    """Raise DamagedError where tensors have the same name, or reach beyond the end of the file."""
    if not isinstance(alignment, int) or not 1 <= alignment <= 2**20:
        raise DamagedError(f"its alignment is {alignment!r}")
    start = -(-reader.position // alignment) * alignment
    names: set[str] = set()
    for tensor in tensors:
        if tensor.name in names:
            raise DamagedError(f"{tensor.name!r} is there twice")
        names.add(tensor.name)
        if start + tensor.offset + tensor.bytes > reader.size:
            raise DamagedError(
                f"{tensor.name!r} ends at byte {start + tensor.offset + tensor.bytes:,} of a file of {reader.size:,}"
            )


def _stored_as(number: int, name: str) -> tuple[str, int, int]:
    """The name of a type, the numbers in a block of it and the bytes of one."""
    if number not in _types():
        raise DamagedError(f"{name!r} is stored as type {number}, which `gguf` does not know")
    return _types()[number]


@cache
def _types() -> dict[int, tuple[str, int, int]]:
    require_gguf()
    from gguf import GGML_QUANT_SIZES

    return {type.value: (type.name, *sizes) for type, sizes in GGML_QUANT_SIZES.items()}


def require_gguf() -> None:
    """Raise ModelError where the package that dequantises is not installed."""
    if find_spec("gguf") is None:
        raise ModelError('the package `gguf`, which reads such files, is not installed. `pip install "gguf>=0.17"`.')


class _Reader:
    """Reads on through a file and never beyond its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.position = file, size, 0

    def take(self, count: int, what: str) -> bytes:
        found = self.file.read(count) if count <= self.size - self.position else b""
        if len(found) != count:
            raise DamagedError(f"it ends within {what}: byte {self.size:,} of at least {self.position + count:,}")
        self.position += count
        return found

    def number(self, format: str, what: str) -> Any:
        [found] = struct.unpack(f"<{format}", self.take(struct.calcsize(f"<{format}"), what))
        return found

    def string(self, what: str) -> str:
        length: int = self.number("Q", what)
        if length > LONGEST_STRING:
            raise DamagedError(f"{what} is a text of {length:,} bytes")
        try:
            return self.take(length, what).decode("utf-8")
        except UnicodeDecodeError as error:
            raise DamagedError(f"{what} is not UTF-8") from error

    def value(self, type: int, what: str) -> Any:
        if type == STRING:
            return self.string(what)
        if type == ARRAY:
            return self._array(what)
        if type not in FORMATS:
            raise DamagedError(f"{what} is of type {type}, which no GGUF has")
        return self.number(FORMATS[type], what)

    def _array(self, what: str) -> list[Any]:
        type, count = self.number("I", what), self.number("Q", what)
        if count > MOST_VALUES:
            raise DamagedError(f"{what} is a list of {count:,} values")
        if type == STRING:
            return [self.string(what) for _ in range(count)]
        if type not in FORMATS:
            raise DamagedError(f"{what} is a list of type {type}, which cannot be read")
        format = f"<{count}{FORMATS[type]}"
        return list(struct.unpack(format, self.take(struct.calcsize(format), what)))
