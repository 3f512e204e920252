"""One loop: tokens in, step events out.

``generate`` lets the model continue a text, ``read`` feeds it a given text and measures its loss.
Both read long texts in chunks through the policy, so that memory stays at the budget plus a chunk.
The engine knows a model, a tokenizer and a policy; it knows nothing of pages, files or measures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lacache_core.admission import check_positions, check_room, known_ids
from lacache_core.attention import observable, runs_on_sdpa, watch
from lacache_core.cache import LadderCache
from lacache_core.description import describe
from lacache_core.errors import UnsupportedOperationError
from lacache_core.ladder import LadderConfig
from lacache_core.plan import IntArray
from lacache_core.policies import Policy
from lacache_core.policies.base import check_whole
from lacache_core.sampling import Chooser, losses, stop_tokens
from lacache_core.stopwatch import stopwatch, timed
from lacache_core.text import TextStream, token_strings
from lacache_core.trace import StepEvent, Trace
from lacache_core.trace_builder import TraceBuilder
from lacache_core.turns import in_turn

UNKNOWN = float("nan")


class Engine:
    """Runs texts through a model under a policy, one text at a time.

    Engines share nothing but the model, so several may run on one model at once; where a process
    runs them on several threads, ``lacache_core.turns.take_turns`` keeps them from slowing down.

    Parameters
    ----------
    model, tokenizer
        What runs. The tokenizer may be None when only token ids are given.
    policy
        What to keep: a policy, or a ``LadderConfig``, which means LaCache.
    observe_every
        Record the last query's attention in every step whose number this divides; 0: never.
    chunk
        Tokens of a prompt per step.

    Raises
    ------
    UnsupportedModelError, InvalidSettingError
        When model and policy do not fit each other.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        policy: Policy | LadderConfig,
        *,
        observe_every: int = 0,
        chunk: int = 512,
    ) -> None:
        check_whole("chunk", chunk, 1)
        check_whole("observe_every", observe_every, 0)
        self.model, self.tokenizer = model, tokenizer
        self.observe_every, self.chunk = observe_every, chunk
        self.max_positions: int = model.config.get_text_config().max_position_embeddings
        self.cache = in_turn(LadderCache, model, policy, positions="index")
        self.planner = self.cache.planner
        check_positions(self.cache, self.chunk, self.max_positions)
        self._text_number = 0
        self._start("generate", 0)

    def _start(self, mode: str, prompt_tokens: int) -> int:
        """Begin a text; its number tells whether it is still the one that is under way."""
        self.cache.reset()
        self._builder = TraceBuilder(self.planner.row_of_layer)
        self._mode, self._prompt_tokens = mode, prompt_tokens
        self._text = ""
        self.stop_reason = ""
        self._text_number += 1
        return self._text_number

    @property
    def room(self) -> int | None:
        """Tokens that still fit before positions run out; None when the policy bounds them."""
        return None if self.planner.capacity is not None else self.max_positions - self.cache.seen

    def trace(self, **manifest: Any) -> Trace:
        """The run so far, with all that ``lacache_core.manifest`` wants said of it.

        ``manifest`` adds to that, or says it differently.
        """
        trace = self._builder.build()
        told = {
            **self.description,
            "text": self._text,
            "tokens": token_strings(self.tokenizer, trace.token_ids.tolist()),
        }
        return replace(trace, manifest={**told, **manifest})

    @property
    def description(self) -> dict[str, Any]:
        """What a manifest says of the run beside its tokens."""
        return {
            **describe(self.model, self.cache),
            "mode": self._mode,
            "prompt_tokens": self._prompt_tokens,
            "chunk": self.chunk,
            "stop_reason": self.stop_reason,
            "seconds_by_part": dict(self._builder.seconds_by_part),
        }

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stops: Sequence[int] | None = None,
        chat: bool = False,
        cancel: Event | None = None,
    ) -> Iterator[StepEvent]:
        """Read the prompt in chunks, then generate.

        Parameters
        ----------
        prompt
            Text, or token ids.
        temperature, top_p, seed
            0 takes the likeliest token; otherwise sampled among the likeliest that add up to
            ``top_p``. Equal seeds give equal text.
        stops
            Ids that end the text; the model's own when None.
        chat
            Put the prompt into the tokenizer's chat template.
        cancel
            Looked at before every step: once set, the iterator ends.

        Yields
        ------
        StepEvent
            The last one carries the last token chosen, which is not fed back. ``stop_reason`` then
            says why it ended: "stop token", "length", "positions" or "cancelled".
        """
        check_whole("max_new_tokens", max_new_tokens, 1)
        choose = Chooser(temperature, top_p, seed)
        ids = known_ids(self.model, self.tokenizer, prompt, chat=chat)
        check_room(self.planner, len(ids), self.max_positions, prompt=True)
        text_number = self._start("generate", len(ids))
        self.cache.expect_prompt(len(ids))
        ending = set(stop_tokens(self.model) if stops is None else stops)
        stream = TextStream(self.tokenizer)
        with self._running():
            # 1. The prompt, in chunks; the last one gives the first new token.
            logits: torch.Tensor | None = None
            for first in range(0, len(ids), self.chunk):
                self._check_turn(text_number)
                part = ids[first : first + self.chunk]
                if self._cancelled(cancel):
                    return
                last = first + len(part) == len(ids)
                event, logits = in_turn(
                    self._step,
                    part,
                    logits,
                    phase="prefill",
                    choose=choose if last else None,
                    stream=stream,
                )
                yield event
            # 2. One token at a time.
            generated = 1
            while True:
                self._check_turn(text_number)
                token = event.next_token
                assert token is not None  # every step with a chooser chooses
                if token in ending:
                    self.stop_reason = "stop token"
                elif generated >= max_new_tokens:
                    self.stop_reason = "length"
                elif self.room is not None and self.room < 1:
                    self.stop_reason = "positions"
                if self.stop_reason or self._cancelled(cancel):
                    return
                event, logits = in_turn(
                    self._step,
                    np.array([token], dtype=np.int32),
                    logits,
                    phase="decode",
                    choose=choose,
                    stream=stream,
                )
                generated += 1
                yield event

    def read(
        self,
        text: str | Sequence[int],
        *,
        chunk: int = 1,
        cancel: Event | None = None,
    ) -> Iterator[StepEvent]:
        """Feed a given text and measure the loss of every token but the first.

        Parameters
        ----------
        text
            Text, or token ids.
        chunk
            Tokens per step: 1 is what generation does, token by token; more is faster, and within
            a chunk a token sees everything that was held when the chunk began.
        cancel
            Looked at before every step: once set, the iterator ends.

        Yields
        ------
        StepEvent
            ``nll`` is known for all joining tokens but the first of the text.
        """
        check_whole("chunk", chunk, 1)
        ids = known_ids(self.model, self.tokenizer, text)
        check_room(self.planner, len(ids), self.max_positions)
        text_number = self._start("read", len(ids))
        with self._running():
            logits: torch.Tensor | None = None
            for first in range(0, len(ids), chunk):
                self._check_turn(text_number)
                if self._cancelled(cancel):
                    return
                event, logits = in_turn(
                    self._step, ids[first : first + chunk], logits, phase="read"
                )
                yield event
        self.stop_reason = "end of text"

    def _running(self) -> ExitStack:
        """Observed or not, the model computes by the same function, to the last bit."""
        stack = ExitStack()
        needed = self.observe_every or self.planner.attention is not None
        if needed or runs_on_sdpa(self.model):
            stack.enter_context(observable(self.model))
        return stack

    def _check_turn(self, text_number: int) -> None:
        if text_number != self._text_number:
            raise UnsupportedOperationError(
                "This engine has begun another text meanwhile; one engine runs one text at a time. "
                "Make a second engine on the same model."
            )

    def _cancelled(self, cancel: Event | None) -> bool:
        if cancel is not None and cancel.is_set():
            self.stop_reason = "cancelled"
            return True
        return False

    @torch.inference_mode()
    def _step(
        self,
        ids: IntArray,
        before: torch.Tensor | None,
        *,
        phase: str,
        choose: Chooser | None = None,
        stream: TextStream | None = None,
    ) -> tuple[StepEvent, torch.Tensor]:
        """What became of the tokens, timed; and the last logits."""
        started = time.perf_counter()
        with stopwatch() as watch, timed("sampling"):
            event, last = self._forward(ids, before, phase, choose, stream)
        # A GPU does its work later than it is asked to.
        parts = watch.seconds if self.model.device.type == "cpu" else {}
        event = replace(event, seconds=time.perf_counter() - started, parts=parts)
        self._builder.add(event)
        self._text += event.text
        return event, last

    def _forward(
        self,
        ids: IntArray,
        before: torch.Tensor | None,
        phase: str,
        choose: Chooser | None,
        stream: TextStream | None,
    ) -> tuple[StepEvent, torch.Tensor]:
        """One forward pass, the losses, the next token, the compaction; and the last logits."""
        number, seen = self._builder.num_steps, self.cache.seen
        observe = bool(self.observe_every) and number % self.observe_every == 0
        tokens = torch.from_numpy(ids.astype(np.int64))[None].to(self.model.device)
        where = self.cache.next_position + torch.arange(len(ids), device=self.model.device)[None]
        with ExitStack() as stack:
            stack.enter_context(self.cache.observed(self.model))
            watching = stack.enter_context(watch(self.planner.per_head)) if observe else None
            with timed("model"):
                logits = self.model(
                    input_ids=tokens,
                    position_ids=where,
                    past_key_values=self.cache,
                    use_cache=True,
                    # Losses of a whole chunk need all logits; a prompt needs the last alone.
                    logits_to_keep=0 if phase == "read" else 1,
                ).logits[0]
        with timed("observing"):
            mass = None if watching is None else watching.take()
        nll = np.full(len(ids), UNKNOWN, dtype=np.float32)
        if before is not None:
            nll[0] = losses(before[None], tokens[0, :1])[0]
        if phase == "read" and len(ids) > 1:
            nll[1:] = losses(logits[:-1], tokens[0, 1:])
        next_token = None if choose is None else choose(logits[-1])
        self.cache.settle()
        event = StepEvent(
            step=number,
            phase=phase,
            token_ids=ids,
            nll=nll,
            seen=seen + len(ids),
            held=self.cache.held,
            dropped=self.cache.last_dropped,
            groups=self.cache.last_groups,
            mass=mass,
            next_token=next_token,
            text="" if next_token is None or stream is None else stream.add(next_token),
        )
        return event, logits[-1]
