//! "Did you mean": the nearest of a set of names.

/// Names longer than this get no suggestion: they are no slips of a finger, and comparing costs the square of the length.
const LONGEST: usize = 64;

/// The candidate most like `text`, if any is like it at all.
pub(crate) fn nearest<'n>(text: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let text = text.to_ascii_lowercase();
    candidates
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| {
            let lower = name.to_ascii_lowercase();
            let edits = strsim::normalized_damerau_levenshtein(&text, &lower);
            // A name cut short or with something appended is far away in edits and still plainly meant.
            let cut = text.len() >= 3
                && (lower.starts_with(&text) || (lower.len() >= 3 && text.starts_with(&lower)));
            (if cut { edits.max(0.7) } else { edits }, name)
        })
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// "did you mean `…`?", where something is near.
pub(crate) fn did_you_mean<'n>(text: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(text, candidates).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let names = ["origins", "policy", "hash_key", "retries", "timeouts", "max_connections"];
        for (text, want) in [
            ("orign", Some("origins")),
            ("origin", Some("origins")),
            ("Policy", Some("policy")),
            ("hashkey", Some("hash_key")),
            ("retires", Some("retries")),
            ("timeout", Some("timeouts")),
            ("max_conn", Some("max_connections")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, names), want, "{text}");
        }
    }
}
