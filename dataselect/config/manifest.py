"""The manifest: what to choose among.

A manifest names a target (the model to be pretrained), the candidates, and the sources that
mixtures draw on; the plan says how to choose. Its keys are those of `datasets.load_dataset`, so
the call on a dataset card can be copied. Only the file itself is checked here; `corpus` checks
that the data exists and has the column.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dataselect.config.proxy_origin import CandidateProxies
from dataselect.config.schema import Document, FieldError, Id, Section, Text, read
from dataselect.units import Count, Number, chinchilla_tokens
from dataselect.wording import nearest, quoted

_BUILDERS = ("json", "parquet", "text", "arrow")


def _check_share(share: float) -> float:
    if not 0 < share <= 1e9:
        raise ValueError(f"{share:g} is not a share; write a number above 0 or leave it out")
    return share


class Source(Section):
    """A body of text, with the keys of `datasets.load_dataset`."""

    id: Id
    """Short name, unique in the manifest: 1 to 64 of a-z 0-9 . _ -, beginning with a letter or
    digit. It appears in file names, the report and mixtures."""

    title: Annotated[Text, AfterValidator(lambda text: " ".join(text.split()))] | None = None
    """Name for the report, any text. Default: the id."""

    path: Text | None = None
    """A dataset on the Hub such as `HuggingFaceFW/fineweb-edu`; a local file or folder (one of
    `save_to_disk` too); or `json`, `parquet`, `text` or `arrow`, with `data_files`. A line of a
    text file is a document, as in `datasets`. Local paths are relative to the manifest. A file or
    folder may be at a URL: `s3://`, `gs://`, `az://`, `hf://`."""

    name: Text | None = None
    """The configuration (subset) of a Hub dataset, such as `sample-10BT`, or of a local folder
    whose README.md has `configs:`."""

    split: Text = "train"
    """The split to read. Splits of a local folder are those that `datasets` finds: by `configs:` of
    its README.md, else by names (`train.jsonl`, `data/test-00000-of-00003.parquet`, `dev/`); a
    folder without such names is all `train`. `train+validation` and `all` join splits."""

    data_files: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    """One or more files or glob patterns, also at URLs; `.gz` and `.zst` are decompressed."""

    data_dir: Text | None = None
    """The folder of the data inside the dataset."""

    revision: Text | None = None
    """Branch, tag or commit of a Hub dataset. Pin a commit to make a run repeatable."""

    streaming: bool = True
    """Stream a Hub dataset instead of downloading all of it first."""

    text_column: Text = "text"
    """The column that holds the text."""

    max_repeats: Annotated[Number, Field(ge=1)] | None = None
    """Most epochs over this text when the token budget exceeds it. Default: the plan's
    `max_repeats`."""

    bad_rows: Literal["error", "skip"] = "error"
    """What happens at a row that cannot be parsed: stop and name it, or skip and count it."""

    max_unusable: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """Largest share of rows without usable text (null, not a text, empty, or left out as bad).
    More are an error, in `validate` for the rows that it samples and in a run for those it reads.
    """

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.path is None:
            raise ValueError(f"{self.id!r} has no 'path'; add 'path:' to say where its text is")
        self._check_builder()
        return self

    def _check_builder(self) -> None:
        if self.path in _BUILDERS and self.data_files is None and self.data_dir is None:
            raise FieldError(
                f"{self.path!r} does not say which files to read", "add 'data_files:'", "path"
            )


class Candidate(Source):
    """A dataset to choose among: a text, or a mixture of sources."""

    mixture: dict[str, Annotated[Number, AfterValidator(_check_share)]] | None = None
    """Instead of `path`: shares of the tokens by id of a source or another candidate. They need not
    sum to 1."""

    proxies: CandidateProxies | None = None
    """Proxies of this candidate that exist already, or that your own command trains, by stage.
    `path` or `mixture` may be left out where no stage of the plan trains on its text."""

    @property
    def has_text(self) -> bool:
        """Whether it names a text; a candidate whose proxies come from elsewhere need not."""
        return self.path is not None or self.mixture is not None

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if not self.has_text:
            # Whether a text is needed depends on the plan; checked where both are known.
            self._check_no_text_keys(
                "this describes a text, and no 'path' names one", "add 'path:'"
            )
            return self
        self._require_one("path", "mixture")
        if self.mixture is None:
            self._check_builder()
            return self
        if not self.mixture:
            raise FieldError("it names no source", "write 'source-id: share' in it", "mixture")
        self._check_no_text_keys(
            "this describes a text, and a mixture has none of its own",
            "put it on the sources that the mixture names",
        )
        return self

    def _check_no_text_keys(self, problem: str, fix: str) -> None:
        for key, field in Source.model_fields.items():
            # By value, not by presence: a resolved manifest spells the defaults out.
            if key not in ("id", "title") and getattr(self, key) != field.default:
                raise FieldError(problem, fix, key)


class Target(Section):
    """The model that the chosen data is for."""

    size: Count
    """Parameters, such as `32B`."""

    tokens: Count | None = None
    """Training tokens, such as `6T`. Either this or `chinchilla_multiple`."""

    chinchilla_multiple: Annotated[Number, Field(gt=0)] | None = None
    """Training tokens as a multiple of 20 per parameter."""

    @model_validator(mode="after")
    def _has_one_budget(self) -> Self:
        self._require_one("tokens", "chinchilla_multiple")
        if self.chinchilla_multiple is not None:
            try:
                chinchilla_tokens(self.size, self.chinchilla_multiple)
            except ValueError as error:
                problem, _, fix = str(error).partition("; ")
                raise FieldError(problem, fix, "chinchilla_multiple") from None
        return self

    @property
    def total_tokens(self) -> int:
        """Training tokens, from `tokens` or `chinchilla_multiple`."""
        if self.chinchilla_multiple is None:
            return self.tokens or 0
        return chinchilla_tokens(self.size, self.chinchilla_multiple)


class Evidence(Section):
    """Known results of the target; the report then shows how well the proxies agree with them,
    which predictions held, and what the choice cost."""

    target_accuracy: Text
    """CSV file relative to the manifest: a column `id` with candidates, and a column of accuracies
    from 0 to 1 for each benchmark."""


class Manifest(Document):
    """What to choose among, and for which target."""

    target: Target
    """The model that the chosen data is for; the report compares its cost with the proxies'."""

    plan: Text | dict[str, Any] | None = None
    """How to choose: a file ending in .yaml relative to the manifest, the name of a plan in
    `stages/`, or the plan itself, written here. The command line overrides it. Default: the plan
    `quickstart`."""

    sources: list[Source] = Field(default_factory=list)
    """Texts that mixtures draw on and that are not candidates themselves."""

    candidates: Annotated[list[Candidate], Field(min_length=2)]
    """What to choose among; at least two."""

    evidence: Evidence | None = None
    """Accuracies of target models that have been trained already."""

    @model_validator(mode="after")
    def _ids_fit_together(self) -> Self:
        place_of: dict[str, str] = {}
        for key, entries in (("sources", self.sources), ("candidates", self.candidates)):
            for i, entry in enumerate(entries):
                if entry.id in place_of:
                    raise FieldError(
                        f"{entry.id!r} is the id of {place_of[entry.id]} too",
                        "give each an id of its own",
                        *(key, i, "id"),
                    )
                place_of[entry.id] = f"{key}[{i}]"
        texts = self.text_sources()
        for i, candidate in enumerate(self.candidates):
            for name in candidate.mixture or {}:
                if name not in texts:
                    problem = f"there is no source or candidate {quoted(name)}"
                    if name in place_of:
                        mixed = self.candidate(name).mixture is not None
                        what = "is a mixture itself" if mixed else "has no text of its own"
                        problem = f"{name!r} {what}"
                    fix = nearest(name, texts) or f"name some of: {', '.join(texts)}"
                    raise FieldError(problem, fix, "candidates", i, "mixture", name)
        return self

    def text_sources(self) -> dict[str, Source]:
        """Sources, then candidates that are not mixtures, by id: all that have a text."""
        plain = [candidate for candidate in self.candidates if candidate.path is not None]
        return {source.id: source for source in [*self.sources, *plain]}

    def candidate(self, candidate_id: str) -> Candidate:
        """The candidate with this id. Raises KeyError when there is none."""
        return {candidate.id: candidate for candidate in self.candidates}[candidate_id]

    def where_candidate(self, candidate_id: str, *path: str | int) -> str:
        """`file:line:column` of a candidate, or of a key in it."""
        index = [candidate.id for candidate in self.candidates].index(candidate_id)
        return self.where("candidates", index, *(path or ("id",)))

    def where_text(self, source_id: str) -> str:
        """`file:line:column` of the source or candidate with this id. Raises KeyError."""
        for key, entries in (("sources", self.sources), ("candidates", self.candidates)):
            for i, entry in enumerate(entries):
                if entry.id == source_id:
                    return self.where(key, i, "id")
        raise KeyError(source_id)

    def shares(self, candidate_id: str) -> dict[str, float]:
        """Shares of a candidate's tokens by source id, summing to 1.

        A candidate with a `path` is its own only source; one without text has none. Raises KeyError
        for an id that is not a candidate's.
        """
        candidate = self.candidate(candidate_id)
        mixture = candidate.mixture
        if mixture is None:
            return {candidate_id: 1.0} if candidate.has_text else {}
        total = math.fsum(mixture.values())
        return {source: share / total for source, share in mixture.items()}


def load_manifest(path: str | Path) -> Manifest:
    """The manifest in the file `path`; raises InputError with line, column and fix."""
    return read(Manifest, Path(path))
