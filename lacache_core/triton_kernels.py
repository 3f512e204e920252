"""The kernels of ``kernels.py``, which says what they do; imported only where Triton is."""

# mypy: ignore-errors
import triton
import triton.language as tl


@triton.jit
def close_gap_kernel(
    keys,
    values,
    arrived,
    moves,
    rows,
    inv_freq,
    turned,
    first,
    count,
    patterns,
    batch,
    heads,
    slots,
    D: tl.constexpr,
    HALF: tl.constexpr,
    HALF_UP: tl.constexpr,
    REST_UP: tl.constexpr,
    WIDTH_UP: tl.constexpr,
    NEIGHBOURS: tl.constexpr,
    BLOCK: tl.constexpr,
    TURN: tl.constexpr,
):
    program = tl.program_id(0)
    layer, head = program // (batch * heads), program % heads
    base = program.to(tl.int64) * slots * D
    pattern = tl.load(rows + layer * heads + head)
    turns = tl.load(turned + layer).to(tl.int1)
    pair = tl.arange(0, HALF_UP)
    is_pair = pair < HALF
    one = 2 * pair if NEIGHBOURS else pair
    other = one + 1 if NEIGHBOURS else one + HALF
    rest = 2 * HALF + tl.arange(0, REST_UP)
    column = tl.arange(0, WIDTH_UP)
    frequency = tl.load(inv_freq + pair, mask=is_pair, other=0.0)
    # Ascending, and nothing is filled from before itself: what a block overwrites has been
    # read by it or by one before it.
    i = 0
    while i < count:
        place = i + tl.arange(0, BLOCK)
        is_place = place < count
        found = pattern * count + place
        source = tl.load(moves + found, mask=is_place, other=0)
        delta = tl.load(moves + patterns * count + found, mask=is_place, other=0)
        old = base + source[:, None] * D
        new = base + (first + place[:, None]).to(tl.int64) * D
        in_pair = is_place[:, None] & is_pair[None, :]
        in_rest = is_place[:, None] & (rest < D)[None, :]
        in_width = is_place[:, None] & (column < D)[None, :]
        a = tl.load(arrived + old + one[None, :], mask=in_pair)
        b = tl.load(arrived + old + other[None, :], mask=in_pair)
        still = tl.load(arrived + old + rest[None, :], mask=in_rest)
        value = tl.load(values + old + column[None, :], mask=in_width)
        tl.debug_barrier()  # all of the block has been read
        angle = delta[:, None].to(tl.float64) * frequency[None, :]
        angle = (angle - tl.floor(angle / TURN + 0.5) * TURN).to(tl.float32)
        cos = tl.where(turns, tl.cos(angle), 1.0)
        sin = tl.where(turns, tl.sin(angle), 0.0)
        wide_a, wide_b = a.to(tl.float32), b.to(tl.float32)
        turned_a, turned_b = wide_a * cos - wide_b * sin, wide_b * cos + wide_a * sin
        tl.store(keys + new + one[None, :], turned_a.to(a.dtype), mask=in_pair)
        tl.store(keys + new + other[None, :], turned_b.to(a.dtype), mask=in_pair)
        tl.store(keys + new + rest[None, :], still, mask=in_rest)
        tl.store(arrived + new + one[None, :], a, mask=in_pair)
        tl.store(arrived + new + other[None, :], b, mask=in_pair)
        tl.store(arrived + new + rest[None, :], still, mask=in_rest)
        tl.store(values + new + column[None, :], value, mask=in_width)
        i += BLOCK


@triton.jit
def store_kernel(
    all_keys,
    all_values,
    arrived,
    slot,
    keys,
    values,
    key_row,
    key_head,
    key_column,
    value_row,
    value_head,
    value_column,
    heads,
    slots,
    D: tl.constexpr,
    WIDTH_UP: tl.constexpr,
):
    program = tl.program_id(0)
    row, head = program // heads, program % heads
    column = tl.arange(0, WIDTH_UP)
    inside = column < D
    new = (program.to(tl.int64) * slots + tl.load(slot)) * D + column
    key = tl.load(keys + row * key_row + head * key_head + column * key_column, mask=inside)
    value = tl.load(
        values + row * value_row + head * value_head + column * value_column, mask=inside
    )
    tl.store(all_keys + new, key, mask=inside)
    tl.store(arrived + new, key, mask=inside)
    tl.store(all_values + new, value, mask=inside)
