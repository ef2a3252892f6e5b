"""Red-team dialogues in the schema of the released red-team attempts (Ganguli et al. 2022)."""

from tutelage.corpus.hh import transcript_of, transcript_turns
from tutelage.corpus.records import Record
from tutelage.corpus.rules import DropReason
from tutelage.feedback.database.collected import Collected
from tutelage.feedback.database.source import (
    Excluded,
    LeftOut,
    is_excluded,
    kept_text,
    left_out_whole,
    own_judgment,
)
from tutelage.feedback.database.states import ConversationState


def attempt_of(one: Collected, excluded: Excluded) -> Record | LeftOut | DropReason | None:
    """The attempt that a conversation is; why it is left out; or None: it is no ended red-team conversation.

    The worker's own rating of success, 1 to 5 on the screen (as in Bai et al.), becomes the released 0 to 4. What we do
    not measure is null.
    """
    chat = one.conversation
    if chat.mode != "red_team" or chat.state == ConversationState.OPEN:
        return None
    if reason := left_out_whole(one, excluded):
        return reason
    judged = [(turn, own) for turn in one.turns if (own := own_judgment(one, turn))]
    if not judged:
        return LeftOut.NOT_JUDGED
    if any(is_excluded(turn, excluded) for turn, _ in judged):
        return LeftOut.PROMPT_EXCLUDED
    texts = [text for turn, own in judged for text in (turn.text, kept_text(one, turn, own))]
    transcript = transcript_of(texts)
    if [turn.text for turn in transcript_turns(transcript)] != texts:
        return DropReason.TURN_MARKS
    rating = next((row.success for row in one.ratings if row.worker_id == chat.worker_id), None)
    return {
        "transcript": transcript,
        "min_harmlessness_score_transcript": None,
        "num_params": None,
        "model_type": None,
        "rating": None if rating is None else rating - 1,
        "task_description": chat.goal,
        "task_description_harmlessness_score": None,
        "red_team_member_id": chat.worker_id,
        "is_upworker": one.source == "upwork",
        "tags": chat.tags,
    }
