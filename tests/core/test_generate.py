"""``model.generate`` with the cache, the model as it is; and what is refused, with its reason."""

import pickle

import pytest
import torch
from tiny import random_ids, tiny_model
from transformers import TextStreamer

from lacache_core.cache import LadderCache
from lacache_core.engine import Engine
from lacache_core.errors import UnsupportedOperationError
from lacache_core.ladder import LadderConfig

CONFIG = LadderConfig(budget=24, span=3, overlap=1, num_sink=2)
NEW = 40


@pytest.fixture(scope="module")
def llama():
    return tiny_model()


def generate(model, ids, cache=None, **options):
    """New tokens and the cache that was used."""
    cache = LadderCache(model, CONFIG) if cache is None else cache
    options = {"max_new_tokens": NEW, "do_sample": False, **options}
    out = model.generate(ids, past_key_values=cache, **options)
    return out[:, ids.shape[1] :], cache


def step_by_step(model, ids, count=NEW):
    """What greedy search gives when the model is called by hand, one token at a time."""
    cache, out = LadderCache(model, CONFIG), []
    with torch.no_grad():
        logits = model(ids, past_key_values=cache).logits
        for _ in range(count):
            token = logits[:, -1:].argmax(-1)
            out.append(token)
            logits = model(token, past_key_values=cache).logits
    return torch.cat(out, dim=1)


def test_greedy(llama):
    ids = random_ids(50)
    new, cache = generate(llama, ids)
    assert new.tolist() == step_by_step(llama, ids).tolist()
    assert cache.seen == 50 + NEW - 1
    assert cache.held <= cache.planner.capacity


def test_greedy_differs_from_the_full_cache(llama):
    """Otherwise the tests above would show nothing about eviction."""
    ids = random_ids(50)
    full = llama.generate(ids, max_new_tokens=NEW, do_sample=False)
    assert generate(llama, ids)[0].tolist() != full[:, 50:].tolist()


def test_a_large_budget_gives_the_text_of_the_full_cache(llama):
    ids = random_ids(50)
    full = llama.generate(ids, max_new_tokens=NEW, do_sample=False)
    cache = LadderCache(llama, LadderConfig(budget=200, span=3))
    assert generate(llama, ids, cache)[0].tolist() == full[:, 50:].tolist()


def test_equal_length_batch_is_each_text_alone(llama):
    ids = random_ids(50, batch=3)
    both, _ = generate(llama, ids)
    for row in range(3):
        assert both[row].tolist() == generate(llama, ids[row : row + 1])[0][0].tolist()


def test_sampling_repeats_with_a_seed(llama):
    ids = random_ids(50)

    def sample(seed):
        torch.manual_seed(seed)
        return generate(llama, ids, do_sample=True, temperature=1.0, top_p=0.9)[0].tolist()

    assert sample(3) == sample(3)
    assert sample(3) != sample(4)


def test_beams_score_as_a_text_read_from_the_start(llama):
    """A beam's score is the probability of its tokens: reordering reached every entry."""
    ids = random_ids(50)
    out = llama.generate(
        ids,
        past_key_values=LadderCache(llama, CONFIG),
        num_beams=4,
        num_return_sequences=4,
        max_new_tokens=30,
        do_sample=False,
        length_penalty=0.0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    assert len({tuple(s) for s in out.sequences.tolist()}) == 4
    for sequence, score in zip(out.sequences, out.sequences_scores, strict=True):
        cache, total = LadderCache(llama, CONFIG), 0.0
        with torch.no_grad():
            logits = llama(ids, past_key_values=cache).logits
            for token in sequence[50:]:
                total += logits[0, -1].log_softmax(-1)[token].item()
                logits = llama(token.view(1, 1), past_key_values=cache).logits
        assert total == pytest.approx(score.item(), abs=1e-3)


def test_streamer(llama):
    class Tokenizer:
        def decode(self, ids, **_):
            return "".join(f"{i} " for i in ids)

    heard = []

    class Listener(TextStreamer):
        def on_finalized_text(self, text, stream_end=False):
            heard.append(text)

    new, _ = generate(llama, random_ids(50), streamer=Listener(Tokenizer(), skip_prompt=True))
    assert "".join(heard).split() == [str(i) for i in new[0].tolist()]


def test_several_turns_continue_one_text(llama):
    ids = random_ids(50)
    first, cache = generate(llama, ids, max_new_tokens=10)
    more = random_ids(15, seed=7)
    text = torch.cat([ids, first, more], dim=1)
    second, cache = generate(llama, text, cache, max_new_tokens=10)

    again = LadderCache(llama, CONFIG)
    with torch.no_grad():
        llama(ids, past_key_values=again)
        for token in first[0, :-1]:
            llama(token.view(1, 1), past_key_values=again)
        rest = torch.cat([first[:, -1:], more], dim=1)
        logits = llama(rest, past_key_values=again).logits
    assert second[0, 0] == logits[0, -1].argmax()
    assert cache.seen == text.shape[1] + 9


@pytest.mark.parametrize("chunk", [7, 16, 33])
def test_prefill_chunks(llama, chunk):
    ids = random_ids(60)
    new, cache = generate(llama, ids, prefill_chunk_size=chunk)
    engine = Engine(llama, None, CONFIG, chunk=chunk)
    ours = [e.next_token for e in engine.generate(ids[0].tolist(), max_new_tokens=NEW)]
    assert new[0].tolist() == [token for token in ours if token is not None]
    assert cache.seen == engine.cache.seen


@pytest.mark.parametrize("pad_left", [True, False])
def test_padded_batches_are_refused(llama, pad_left):
    ids = random_ids(50, batch=2)
    mask = torch.ones_like(ids)
    mask[0, slice(0, 5) if pad_left else slice(-5, None)] = 0
    with pytest.raises(UnsupportedOperationError, match="padded"):
        generate(llama, ids, attention_mask=mask)


def test_a_mask_of_ones_is_fine(llama):
    ids = random_ids(50)
    with_mask, _ = generate(llama, ids, attention_mask=torch.ones_like(ids))
    assert with_mask.tolist() == generate(llama, ids)[0].tolist()


def test_own_masks_and_positions_are_refused(llama):
    ids = random_ids(20)
    with pytest.raises(UnsupportedOperationError, match="2-D"):
        mask = torch.ones(1, 1, 20, 20, dtype=torch.bool)
        llama(ids, attention_mask=mask, past_key_values=LadderCache(llama, CONFIG))
    with pytest.raises(UnsupportedOperationError, match="position_ids"):
        where = torch.arange(5, 25)[None]
        llama(ids, position_ids=where, past_key_values=LadderCache(llama, CONFIG))


def test_other_caches_are_left_alone(llama):
    """The guard on the model looks only at calls that bring a ``LadderCache``."""
    LadderCache(llama, CONFIG)
    ids = random_ids(20, batch=2)
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    llama.generate(ids, attention_mask=mask, max_new_tokens=3, do_sample=False)
    pickle.loads(pickle.dumps(llama))


def test_assisted_and_prompt_lookup_decoding_are_refused(llama):
    ids = random_ids(30)
    with pytest.raises((UnsupportedOperationError, ValueError), match="roll|crop"):
        generate(llama, ids, assistant_model=tiny_model(num_hidden_layers=2))
    with pytest.raises((UnsupportedOperationError, ValueError), match="roll|crop"):
        generate(llama, ids.repeat(1, 2), prompt_lookup_num_tokens=3)


@pytest.mark.parametrize("kind", ["static", "quantized"])
def test_a_second_cache_implementation_is_refused(llama, kind):
    with pytest.raises(ValueError, match="cache_implementation"):
        generate(llama, random_ids(30), cache_implementation=kind)


def test_offloading_is_refused(llama):
    _, cache = generate(llama, random_ids(30), max_new_tokens=2)
    with pytest.raises(UnsupportedOperationError, match="offload"):
        cache.offload(0)


def test_generate_does_not_compile_it(llama):
    """``generate`` compiles by itself where a cache says that it can take it; this one does not."""
    assert not LadderCache(llama, CONFIG).is_compileable


def test_a_compiled_model_gives_the_same_text():
    """A graph breaks at the cache; the text stays right."""
    ids = random_ids(50)
    expected = generate(tiny_model(), ids, max_new_tokens=15)[0].tolist()
    compiled = tiny_model()
    compiled.forward = torch.compile(compiled.forward, backend="eager")
    assert generate(compiled, ids, max_new_tokens=15)[0].tolist() == expected


def test_a_filled_cache_is_refused_for_another_text():
    model = tiny_model()
    cache = LadderCache(model, LadderConfig(24, 3, 1, num_sink=2))
    ids = random_ids(40)
    model.generate(ids, past_key_values=cache, max_new_tokens=20, do_sample=False)
    with pytest.raises(UnsupportedOperationError, match=r"reset\(\)"):
        model.generate(ids, past_key_values=cache, max_new_tokens=20, do_sample=False)
    cache.reset()
    model.generate(ids, past_key_values=cache, max_new_tokens=2, do_sample=False)


def test_a_cache_of_another_model_is_refused():
    one, other = tiny_model(), tiny_model()
    LadderCache(other, LadderConfig(24, 3, 1, num_sink=2))
    cache = LadderCache(one, LadderConfig(24, 3, 1, num_sink=2))
    with pytest.raises(UnsupportedOperationError, match="another model"):
        other.generate(random_ids(10), past_key_values=cache, max_new_tokens=2)


def test_padding_is_refused_by_the_decoder_itself():
    model = tiny_model()
    mask = torch.ones(1, 10, dtype=torch.long)
    mask[0, :3] = 0
    cache = LadderCache(model, LadderConfig(24, 3, 1, num_sink=2))
    with pytest.raises(UnsupportedOperationError, match="padded"):
        model.model(random_ids(10), attention_mask=mask, past_key_values=cache)
