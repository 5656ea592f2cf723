"""What the jobs of preparation do: each makes artifacts in the store and returns nothing big.

They run in the driver's working folder, from which its paths lead. Each returns False, with nothing
done, where another process does its work now and it is not `patient`.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from dataselect.corpus.kept_tokenizer import TOKENIZERS, TokenizerRequest
from dataselect.corpus.stream_request import STREAMS, StreamRequest
from dataselect.counting.counted import KIND as COUNTED
from dataselect.counting.counted import Questions, Text, Want, count_missing
from dataselect.errors import IncompleteError
from dataselect.leaks.search import LEAKS, LeakSearch, SearchRequest
from dataselect.scoring.gather import TRACES, Weighing
from dataselect.stages.engine import check_job_device
from dataselect.stages.job_runs import at_work, held, left_for_later
from dataselect.stages.passing import marked
from dataselect.store import Store


def train_tokenizer(
    *, progress: Any, store: Store, folder: Path, request: TokenizerRequest, patient: bool
) -> bool:
    """The job: train the tokenizer."""
    with _in_the_drivers_place(store, folder, progress) as told:
        if left_for_later(progress, told.holder(TOKENIZERS, request.spec), patient):
            return False
        for name, text in request.texts.items():
            text.require_seen(request.fingerprints[name])
        request.make(told, progress)
    return True


def tokenise(
    *,
    progress: Any,
    store: Store,
    folder: Path,
    request: StreamRequest,
    search: LeakSearch | None,
    threads: int,
    patient: bool,
) -> bool:
    """The job: tokenise a source, and search it for leaks meanwhile."""
    with _in_the_drivers_place(store, folder, progress) as told:
        if left_for_later(progress, told.holder(STREAMS, request.spec), patient):
            return False
        request.text.require_seen(request.fingerprint)
        observer = (
            None
            if search is None
            else partial(search.observer, told, request.fingerprint, request.seed)
        )
        request.make(told, progress, threads, observer)
    return True


def look_for_leaks(
    *,
    progress: Any,
    store: Store,
    folder: Path,
    request: SearchRequest,
    search: LeakSearch,
    threads: int,
    patient: bool,
) -> bool:
    """The job: search a source that is tokenised already."""
    with _in_the_drivers_place(store, folder, progress) as told:
        if left_for_later(progress, told.holder(LEAKS, search.spec(request.text)), patient):
            return False
        request.source.require_seen(request.text.source)
        request.make(search, told, threads)
    return True


def weigh_rationales(
    *,
    progress: Any,
    store: Store,
    folder: Path,
    weighing: Weighing,
    device: str,
    patient: bool,
) -> bool:
    """The job: weigh a benchmark's rationales by a model, on the job's device."""
    with _in_the_drivers_place(store, folder, progress) as told:
        check_job_device(device)
        if left_for_later(progress, told.holder(TRACES, weighing.spec), patient):
            return False
        weighing.make(told, device)
    return True


def count_words(
    *, progress: Any, store: Store, texts: Mapping[str, Text], wants: Sequence[Want], patient: bool
) -> bool:
    """The job: score traces by counting the words of several texts."""
    with _in_the_drivers_place(store, None, progress) as told:
        counted = ((COUNTED, wants[0].spec(text)) for text in texts.values())
        if left_for_later(progress, held(told, counted), patient):
            return False
        questions = Questions(wants, next(iter(texts.values())).tokenizer)
        before, total = 0, sum(text.tokens for text in texts.values())
        for text in texts.values():

            def report(tokens: int, before: int = before) -> None:
                progress({"tokens": before + tokens, "total_tokens": total})

            count_missing(told, text, wants, questions, report)
            before += text.tokens
    return True


@contextmanager
def _in_the_drivers_place(store: Store, folder: Path | None, progress: Any) -> Iterator[Store]:
    """The working folder of the driver, from which its paths lead, and a store that tells who is
    waited for. Errors that may pass are marked as such."""
    if folder is not None and not folder.is_dir():
        raise IncompleteError(
            f"{socket.gethostname()} does not see the folder {folder} of the driver; start it in a "
            "folder that all nodes see, or write 'compute: {prepare: {by: driver}}' in the plan"
        )
    try:
        with at_work(progress, store) as told, nullcontext() if folder is None else chdir(folder):
            yield told
    except Exception as error:
        raise marked(error) from error
