"""TIFF files of every kind, written by hand: deep, in planes, in tiles, packed, of either byte order, and BigTIFF."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def tiff_page(
    samples: np.ndarray,
    photometric: int,
    *,
    bits: int | None = None,
    kind: int | None = None,
    extra: tuple[int, ...] = (),
    planar: bool = False,
    tile: tuple[int, int] | None = None,
    deflate: bool = False,
    predictor: int = 1,
    order: str = "<",
    big: bool = False,
    rows_per_strip: int | None = None,
    tags: dict[int, tuple[int, list[int]]] | None = None,
) -> bytes:
    """A TIFF of one page with `samples`, shape (rows, columns, channels).

    `kind` is the standard's (1 unsigned, 2 signed, 3 float), by default that of the array; with `bits` other than the
    array's, numbers are packed. `tile` is a tile's height and width; `tags` are further ones: type and values.
    """
    height, width, channels = samples.shape
    bits = samples.dtype.itemsize * 8 if bits is None else bits
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind] if kind is None else kind
    planes = [samples[..., n : n + 1] for n in range(channels)] if planar else [samples]
    across, down = (tile[1], tile[0]) if tile else (width, rows_per_strip or height)
    pieces = []
    for plane in planes:
        for top in range(0, height, down):
            for left in range(0, width, across):
                piece = plane[top : top + down, left : left + across]
                if tile:
                    room = [(0, down - piece.shape[0]), (0, across - piece.shape[1]), (0, 0)]
                    piece = np.pad(piece, room)
                packed = _packed(piece, bits, order, predictor)
                pieces.append(zlib.compress(packed) if deflate else packed)
    entries: dict[int, tuple[int, list[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * channels),
        259: (3, [8 if deflate else 1]),
        262: (3, [photometric]),
        277: (3, [channels]),
        284: (3, [2 if planar else 1]),
        339: (3, [kind] * channels),
    }
    if predictor != 1:
        entries[317] = (3, [predictor])
    if extra:
        entries[338] = (3, list(extra))
    if photometric == 5:
        entries[332] = (3, [1])
    place = 16 if big else 4
    start = 16 if big else 8
    offsets = [start + sum(map(len, pieces[:n])) for n in range(len(pieces))]
    lengths = [len(piece) for piece in pieces]
    if tile:
        entries |= {322: (4, [across]), 323: (4, [down]), 324: (place, offsets), 325: (place, lengths)}
    else:
        entries |= {278: (4, [down]), 273: (place, offsets), 279: (place, lengths)}
    return _file(b"".join(pieces), entries | (tags or {}), order, big)


def _packed(piece: np.ndarray, bits: int, order: str, predictor: int) -> bytes:
    if bits != piece.dtype.itemsize * 8:
        numbers = piece.reshape(len(piece), -1)
        ones = (numbers[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
        return np.packbits(ones.astype(np.uint8).reshape(len(piece), -1), axis=1).tobytes()
    if predictor == 2:
        unsigned = piece.view(f"u{piece.dtype.itemsize}")
        piece = np.diff(unsigned, axis=1, prepend=unsigned.dtype.type(0)).astype(unsigned.dtype)
    if predictor == 3:
        size, (rows, width, channels) = piece.dtype.itemsize, piece.shape
        planes = piece.astype(f">f{size}").view(np.uint8).reshape(rows, width * channels, size).transpose(0, 2, 1)
        flat = np.ascontiguousarray(planes).reshape(rows, width * size, channels)
        return np.diff(flat, axis=1, prepend=np.uint8(0)).astype(np.uint8).tobytes()
    return piece.astype(piece.dtype.newbyteorder(order)).tobytes()


def _file(pixels: bytes, entries: dict[int, tuple[int, list[int]]], order: str, big: bool) -> bytes:
    formats = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
    place, count, room = ("Q", "Q", 8) if big else ("I", "H", 4)
    begin = (16 if big else 8) + len(pixels)
    size = struct.calcsize(f"={count}") + len(entries) * (20 if big else 12) + room
    fields, beyond = b"", b""
    for tag, (type_, values) in sorted(entries.items()):
        data = struct.pack(f"{order}{len(values)}{formats[type_]}", *values)
        fields += struct.pack(f"{order}HH{place}", tag, type_, len(values))
        if len(data) <= room:
            fields += data.ljust(room, b"\0")
        else:
            fields += struct.pack(order + place, begin + size + len(beyond))
            beyond += data
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, begin) if big else struct.pack(order + "HI", 42, begin)
    return mark + head + pixels + struct.pack(order + count, len(entries)) + fields + bytes(room) + beyond


def joined(*pages: bytes) -> bytes:
    """A TIFF of the pages of several, all little-endian and not BigTIFF, each of one page."""
    data = bytearray(pages[0])
    for page in pages[1:]:
        shift = len(data)
        begin = struct.unpack_from("<I", page, 4)[0]
        moved = bytearray(page)
        count = struct.unpack_from("<H", moved, begin)[0]
        for n in range(count):
            at = begin + 2 + 12 * n
            tag, type_, values, value = struct.unpack_from("<HHII", moved, at)
            size = {1: 1, 3: 2, 4: 4, 7: 1}[type_] * values
            if size > 4:
                struct.pack_into("<I", moved, at + 8, value + shift)
                if tag in (273, 324):
                    for k in range(values):
                        (where,) = struct.unpack_from("<I", moved, value + 4 * k)
                        struct.pack_into("<I", moved, value + 4 * k, where + shift)
            elif tag in (273, 324):
                struct.pack_into("<I", moved, at + 8, value + shift)
        at = _last_link(data)
        struct.pack_into("<I", data, at, begin + shift)
        data += moved
    return bytes(data)


def _last_link(data: bytearray) -> int:
    link = 4
    while begin := struct.unpack_from("<I", data, link)[0]:
        link = begin + 2 + 12 * struct.unpack_from("<H", data, begin)[0]
    return link
