//! The configuration file of an installation, written piece by piece.

use std::fmt::Write;

use crate::scene::Pace;

/// Parts of a `seawall.toml`. What a drill does not say is the product's default, but for times that would make it long.
#[derive(Clone, Debug, Default)]
pub struct Site {
    edge: Vec<String>,
    tables: Vec<String>,
    zones: Vec<String>,
    rollout: Rollout,
}

/// The times of a rollout in a drill that does not take the product's own.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Least time in each stage, milliseconds.
    pub hold_ms: u64,
    /// Least requests in each stage.
    pub requests: u32,
    /// From adopted to good, milliseconds.
    pub soak_ms: u64,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { hold_ms: 500, requests: 20, soak_ms: 3_000 }
    }
}

impl Site {
    /// A key of `[edge]`: `workers = 2`.
    #[must_use]
    pub fn edge(mut self, key: &str) -> Self {
        self.edge.push(key.to_owned());
        self
    }

    /// A table or several, after those of the edge and before the zones: `[edge.bot]\nfeatures = "f.json"`.
    #[must_use]
    pub fn table(mut self, text: &str) -> Self {
        self.tables.push(text.to_owned());
        self
    }

    /// A zone, as written by [`zone`].
    #[must_use]
    pub fn zone(mut self, text: String) -> Self {
        self.zones.push(text);
        self
    }

    /// Other times of the rollout.
    #[must_use]
    pub fn rollout(mut self, rollout: Rollout) -> Self {
        self.rollout = rollout;
        self
    }

    /// The file. `http` and `metrics` are ports on loopback.
    #[must_use]
    pub fn text(&self, http: u16, metrics: u16, pace: Pace) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "data_dir = \"data\"\n\n[edge]");
        let _ =
            writeln!(out, "http = \"127.0.0.1:{http}\"\nhttps = \"off\"\nmetrics = \"127.0.0.1:{metrics}\"");
        // Visitors of a drill are told apart by the address they say they come from.
        let _ = writeln!(out, "trusted_proxies = \"127.0.0.0/8\"\nworkers = 2");
        for key in &self.edge {
            let _ = writeln!(out, "{key}");
        }
        if pace == Pace::Quick {
            let Rollout { hold_ms, requests, soak_ms } = self.rollout;
            let _ = writeln!(
                out,
                "\n[edge.rollout]\nhold = \"{hold_ms}ms\"\nquick_hold = \"{}ms\"\nrequests = {requests}\nsoak = \"{soak_ms}ms\"",
                (hold_ms / 3).max(100),
            );
        }
        for part in self.tables.iter().chain(&self.zones) {
            let _ = writeln!(out, "\n{}", part.trim_end());
        }
        out
    }
}

/// A zone with one pool of one origin. `keys` stand under `[[zone]]`, `tables` after the pool.
#[must_use]
pub fn zone(name: &str, origin: &str, keys: &str, tables: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\n{keys}\n[[zone.pool]]\nname = \"app\"\norigins = [{{ url = \"{origin}\" }}]\n{tables}"
    )
}
