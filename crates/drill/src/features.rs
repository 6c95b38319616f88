//! Feature files for the bot module, good and bad, made from the one that is built into the program.

use serde_json::Value;

/// A good file. `run` makes it another one each time, as a generator's are: only the time of its making differs.
#[must_use]
pub fn good(run: u32) -> Vec<u8> {
    stamped(built_in(), run)
}

/// The same with its rows repeated until there are so many: what a query without its filter returned.
#[must_use]
pub fn repeated(rows: usize, run: u32) -> Vec<u8> {
    let mut file = built_in();
    if let Some(features) = file.get_mut("features").and_then(Value::as_array_mut) {
        let once: Vec<Value> = features.clone();
        let more = once.iter().cycle().take(rows.saturating_sub(once.len())).cloned();
        features.extend(more);
    }
    stamped(file, run)
}

/// The file that is built in.
#[must_use]
pub fn built_in() -> Value {
    serde_json::from_slice(seawall_human::DEFAULT).unwrap_or_default()
}

fn stamped(mut file: Value, run: u32) -> Vec<u8> {
    if let Some(generated) = file.get_mut("generated") {
        *generated = format!("2026-11-18T11:{:02}:00Z", run % 60).into();
    }
    serde_json::to_vec_pretty(&file).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_they_are_called() {
        let rows = |bytes: &[u8]| {
            serde_json::from_slice::<Value>(bytes).unwrap().get("features").unwrap().as_array().unwrap().len()
        };
        let usual = rows(&good(1));
        assert!((30..200).contains(&usual), "{usual}");
        assert_eq!(rows(&repeated(260, 1)), 260);
        assert_ne!(good(1), good(2));
    }
}
