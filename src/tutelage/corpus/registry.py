"""The sources of comparisons that are known by name: what each is, its licence, and where it is looked for."""

from dataclasses import dataclass
from typing import Literal

from tutelage.corpus.formats import Format
from tutelage.corpus.hub import HubFile, HubTable
from tutelage.corpus.table import ChosenColumns, Columns, LabelledColumns, RatedColumns
from tutelage.dialogue import Kind


@dataclass(frozen=True, slots=True)
class DataSource:
    """Comparisons known by name."""

    name: str
    about: str
    licence: str
    """Of the data, as its publisher states it; a model card names it."""
    format: Format
    file: str
    """Where it lies below the data directory."""
    kind: Kind = "helpful"
    columns: Columns | None = None
    hub: HubFile | HubTable | None = None
    """Where it is fetched from when it is not in the data directory; None: it is read from there alone."""


def find(name: str) -> list[DataSource]:
    """The source of this name, or all training sources of the hub data set of this id; empty where there is none."""
    by_name = [source for source in SOURCES if source.name == name]
    by_hub = [
        source for source in SOURCES if source.hub and source.hub.id == name and not source.name.endswith("/test")
    ]
    return by_name or by_hub


_HH_SUBSETS: dict[str, Kind] = {
    "helpful-base": "helpful",
    "helpful-rejection-sampled": "helpful",
    "helpful-online": "helpful",
    "harmless-base": "harmless",
}


def _hh(subset: str, kind: Kind, split: Literal["train", "test"]) -> DataSource:
    return DataSource(
        name=f"hh-rlhf/{subset}" + ("/test" if split == "test" else ""),
        about=f"HH-RLHF, {subset}, {split} split: whole dialogues, judged by crowd workers",
        licence="MIT",
        format="hh",
        file=f"hh-rlhf/{subset}/{split}.jsonl.gz",
        kind=kind,
        hub=HubFile("Anthropic/hh-rlhf", f"{subset}/{split}.jsonl.gz"),
    )


SOURCES: tuple[DataSource, ...] = (
    *(_hh(subset, kind, "train") for subset, kind in _HH_SUBSETS.items()),
    *(_hh(subset, kind, "test") for subset, kind in _HH_SUBSETS.items()),
    DataSource(
        name="hh-rlhf-helpful-test",
        about="HH-RLHF, helpful-base, a part of the test split",
        licence="MIT",
        format="hh",
        file="hh-rlhf-helpful-test/pairs.jsonl.gz",
    ),
    DataSource(
        name="hh-rlhf-harmless-test",
        about="HH-RLHF, harmless-base, a part of the test split",
        licence="MIT",
        format="hh",
        file="hh-rlhf-harmless-test/pairs.jsonl.gz",
        kind="harmless",
    ),
    DataSource(
        name="hh-rlhf-harmless-train-lastturn",
        about="HH-RLHF, harmless-base, 5,000 rows of the train split; the turns between the first and the last are cut",
        licence="MIT",
        format="trl",
        file="hh-rlhf-harmless-train-lastturn/pairs.jsonl.gz",
        kind="harmless",
    ),
    DataSource(
        name="stackexchange-votes",
        about="Stack Exchange questions of 11 sites with voted answers, for pretraining",
        licence="CC-BY-SA",
        format="stackexchange",
        file="stackexchange-votes/questions.jsonl.gz",
    ),
    DataSource(
        name="open-assistant-en100",
        about="Open-Assistant, 100 English trees of messages with ranked answers",
        licence="Apache-2.0",
        format="oasst",
        file="open-assistant-en100/trees.jsonl.gz",
    ),
    DataSource(
        name="oasst1",
        about="Open-Assistant, the first release, all languages",
        licence="Apache-2.0",
        format="oasst",
        file="oasst1/2023-04-12_oasst_ready.trees.jsonl.gz",
        hub=HubFile("OpenAssistant/oasst1", "2023-04-12_oasst_ready.trees.jsonl.gz"),
    ),
    DataSource(
        name="oasst2",
        about="Open-Assistant, the final release, all languages",
        licence="Apache-2.0",
        format="oasst",
        file="oasst2/2023-11-05_oasst2_ready.trees.jsonl.gz",
        hub=HubFile("OpenAssistant/oasst2", "2023-11-05_oasst2_ready.trees.jsonl.gz"),
    ),
    DataSource(
        name="pandalm-human",
        about="PandaLM's test set: three annotators a pair of answers",
        licence="Apache-2.0",
        format="pandalm",
        file="pandalm-human/testset-v1.jsonl.gz",
    ),
    DataSource(
        name="finegrained-rlhf-qa-dev",
        about="FineGrainedRLHF, long-form question answering: people's preferences among four answers",
        licence="Apache-2.0",
        format="finegrained",
        file="finegrained-rlhf-qa-dev/dev_feedback.jsonl.gz",
    ),
    DataSource(
        name="llmbar",
        about="LLMBar: whether instructions were followed, against answers that only look better",
        licence="MIT",
        format="llmbar",
        file="llmbar/llmbar.jsonl.gz",
    ),
    DataSource(
        name="mt-bench-human",
        about="MT-bench, 200 expert judgments in LLMBar's form",
        licence="MIT",
        format="llmbar",
        file="llmbar/mt_bench_human.jsonl.gz",
    ),
    DataSource(
        name="shp",
        about="Stanford Human Preferences: Reddit comments; the better has at least twice the votes of the other",
        licence="Reddit API terms; read the hub page",
        format="table",
        file="shp/train.jsonl.gz",
        columns=LabelledColumns(
            prompt="history",
            first="human_ref_A",
            second="human_ref_B",
            label="labels",
            ratio="score_ratio",
            min_ratio=2.0,
        ),
        hub=HubTable("stanfordnlp/SHP", "train"),
    ),
    DataSource(
        name="ultrafeedback",
        about="UltraFeedback: four models' answers an instruction, rated by GPT-4 (the mean of its four ratings)",
        licence="MIT",
        format="table",
        file="ultrafeedback/train.jsonl.gz",
        columns=RatedColumns(
            prompt="instruction", answers="completions", text="response", rating="fine-grained_score"
        ),
        hub=HubTable("openbmb/UltraFeedback", "train"),
    ),
    DataSource(
        name="ultrafeedback-binarized",
        about="UltraFeedback, the best answer against one of the others, rated by GPT-4",
        licence="MIT",
        format="table",
        file="ultrafeedback-binarized/train_prefs.jsonl.gz",
        columns=ChosenColumns(
            prompt="prompt",
            chosen="chosen",
            rejected="rejected",
            chosen_score="score_chosen",
            rejected_score="score_rejected",
        ),
        hub=HubTable("HuggingFaceH4/ultrafeedback_binarized", "train_prefs"),
    ),
)  # fmt: skip
