//! Many texts looked for in one pass.

use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, Input, MatchKind};

/// Longest number read behind a text, in digits.
const DIGITS_MAX: usize = 4;

/// Texts to be found, and the features that they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    automaton: Option<DFA>,
    /// For each text its feature, and whether the number behind it is wanted.
    targets: Vec<(usize, bool)>,
}

impl Search {
    /// A search for texts, without regard to case. `None` if one is empty or they are too many for it.
    pub(crate) fn of(texts: &[(&str, usize, bool)]) -> Option<Search> {
        if texts.is_empty() {
            return Some(Search::default());
        }
        if texts.iter().any(|(text, ..)| text.is_empty()) {
            return None;
        }
        let automaton = DFA::builder()
            .match_kind(MatchKind::Standard) // the kind that finds texts within texts
            .ascii_case_insensitive(true)
            .build(texts.iter().map(|(text, ..)| text))
            .ok()?;
        let targets = texts.iter().map(|(_, feature, version)| (*feature, *version)).collect();
        Some(Search { automaton: Some(automaton), targets })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.automaton.as_ref().map_or(0, Automaton::memory_usage)
            + self.targets.capacity() * size_of::<(usize, bool)>()
    }

    /// Looks through a text and sets the values of features found: 1, or the number behind the first place.
    pub(crate) fn run(&self, text: &[u8], values: &mut [f32]) {
        let Some(automaton) = &self.automaton else { return };
        let input = Input::new(text).anchored(Anchored::No);
        let mut state = OverlappingState::start();
        // Each call finds one text at one place, so this ends: bytes read times texts at most.
        while automaton.try_find_overlapping(&input, &mut state).is_ok() {
            let Some(found) = state.get_match() else { return };
            let Some((feature, version)) = self.targets.get(found.pattern().as_usize()) else { continue };
            let Some(value) = values.get_mut(*feature) else { continue };
            if !version {
                *value = 1.0;
            } else if *value < 0.0
                && let Some(number) = number(text.get(found.end()..).unwrap_or(&[]))
            {
                *value = number;
            }
        }
    }
}

/// The whole number at the front of a text, if there is one; 1000 and more is 1000.
pub(crate) fn number(text: &[u8]) -> Option<f32> {
    let digits = text.iter().take(DIGITS_MAX).take_while(|b| b.is_ascii_digit());
    let number = digits.fold(None, |sum, b| Some(sum.unwrap_or(0) * 10 + u32::from(b - b'0')))?;
    Some(number.min(1000) as f32)
}
