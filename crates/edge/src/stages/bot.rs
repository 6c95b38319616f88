//! The bot score: a number from 1 (a program) to 99 (a person), or none where it cannot be computed (DESIGN R5).

use super::{Host, Part, StageError, StageFacts, Verdict};
use seawall_http::View;
use seawall_human::{Model, Scratch};
use seawall_model::FailMode;
use seawall_snapshot::Hash;
use std::cell::RefCell;
use std::sync::Arc;

/// The model that scores, and the one before it.
#[derive(Clone)]
pub(crate) struct Bot {
    /// Hash of the feature file; none for the one that is built in.
    pub of: Option<Hash>,
    pub model: Arc<Model>,
    /// What a stale module falls back to.
    pub before: Option<Arc<Model>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Scores a request. It never stops one: rules on the score do, if there is a score.
pub(super) fn stage(part: &Part, host: &Host<'_>, view: &View<'_>, facts: &mut StageFacts) -> Verdict {
    let Some(bot) = &host.shared.bot else { return Verdict::Go };
    let score = host.run(part, &mut facts.faults, || score(&bot.model, view));
    facts.score = Some(match (score, &bot.before, host.mode(part)) {
        (Some(score), ..) => Some(score),
        (None, Some(before), FailMode::Stale) => {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| score_of(before, view))).ok().flatten()
        }
        (None, _, FailMode::Closed) => {
            facts.score = Some(None);
            return Verdict::Closed(part.module);
        }
        (None, ..) => None,
    });
    Verdict::Go
}

fn score(model: &Model, view: &View<'_>) -> Result<u8, StageError> {
    SCRATCH.with(|scratch| {
        // A stage that panicked in the middle of a score has let go of it: the borrow ended with its stack.
        let mut scratch = scratch.try_borrow_mut().map_err(|e| StageError(e.to_string()))?;
        model.score(view, &mut scratch).map_err(|fault| StageError(fault.to_string()))
    })
}

fn score_of(model: &Model, view: &View<'_>) -> Option<u8> {
    score(model, view).ok()
}
