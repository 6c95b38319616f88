//! What can happen: one table for the writer, the reader, the command line and `docs/timeline.md`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing::Level;

/// Who makes events of a kind happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Changes and what the process does about them: few, and each is told.
    Change,
    /// Traffic: many may come at once, so they are told up to a rate and then summarised.
    Traffic,
}

/// One kind of event.
#[derive(Debug)]
pub struct KindRow {
    /// The kind.
    pub kind: Kind,
    /// As written in the file and after `--kind`.
    pub name: &'static str,
    /// How loud its mirror among the process's own events is.
    pub level: Level,
    /// Whether its number is bounded by changes or by traffic.
    pub source: Source,
    /// What it says, in a sentence.
    pub doc: &'static str,
}

macro_rules! kinds {
    ($($kind:ident, $name:literal, $level:ident, $source:ident, $doc:literal;)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = $doc] $kind,)+
        }

        /// Every kind, in the order of a change's life.
        pub static KINDS: &[KindRow] = &[
            $(KindRow { kind: Kind::$kind, name: $name, level: Level::$level, source: Source::$source, doc: $doc },)+
        ];

        impl Kind {
            /// As written in the file and after `--kind`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)+ }
            }

            /// How loud its mirror is.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $(Kind::$kind => Level::$level,)+ }
            }

            /// Who makes it happen.
            #[must_use]
            pub const fn source(self) -> Source {
                match self { $(Kind::$kind => Source::$source,)+ }
            }
        }
    };
}

kinds! {
    // -- the process
    Started, "started", INFO, Change, "A process began to serve; the text says with which snapshot and why this one.";
    Stopped, "stopped", INFO, Change, "A process ended in order.";
    Died, "died", ERROR, Change, "A process ended otherwise: a crash, a kill, a failed start. The text says how and what it had in hand.";
    Restart, "restart", WARN, Change, "The supervisor starts a process in the place of one that died.";
    Upgrade, "upgrade", INFO, Change, "The program is being replaced, or was, or the new one failed and the old one stays.";
    WorkerStuck, "worker_stuck", ERROR, Traffic, "A worker holds one request in one module for too long; a stand-in takes over its sockets.";
    // -- a change
    ChangeProposed, "change_proposed", INFO, Change, "A new configuration, data file or order was seen; the text says what it does.";
    ChangeRefused, "change_refused", WARN, Change, "A change was refused before it served a request; what runs stays. The text names unit, field, limit and value.";
    Acknowledged, "acknowledged", WARN, Change, "An operator acknowledged what the change review asked for, with the number stated.";
    UnitKept, "unit_kept", WARN, Change, "One unit of a change was refused and keeps its last good version, while the others advance.";
    Rehearsed, "rehearsed", INFO, Change, "A candidate ran over the heads of recent requests, beside what serves.";
    Stage, "stage", INFO, Change, "A candidate took a larger share of the requests.";
    GateFailed, "gate_failed", ERROR, Change, "A candidate did worse than what serves, or could not be measured; the text is the verdict.";
    Superseded, "superseded", INFO, Change, "A candidate made way for a newer one.";
    Adopted, "adopted", INFO, Change, "A snapshot serves every request.";
    RolledBack, "rolled_back", WARN, Change, "An earlier snapshot serves again, by a failed gate or by an operator.";
    PromotedGood, "promoted_good", INFO, Change, "A snapshot outlived its soak and may be started from.";
    Quarantined, "quarantined", ERROR, Change, "A snapshot will not be served again; the text says what it did.";
    UnitQuarantined, "unit_quarantined", ERROR, Change, "One unit will not be served again and falls back to its earlier version, while the others advance.";
    SnapshotDeleted, "snapshot_deleted", INFO, Change, "A snapshot was deleted, by an operator or because enough newer ones are kept.";
    // -- generated files
    ArtifactRefused, "artifact_refused", WARN, Change, "A generated file was refused; its last good version stays. The text names field, limit and value.";
    ArtifactPinned, "artifact_pinned", ERROR, Change, "A generated file alternates between good and bad; its last good version is pinned. The text names file and period.";
    ArtifactUnpinned, "artifact_unpinned", INFO, Change, "A pinned file is followed again.";
    // -- modules
    ModuleOff, "module_off", WARN, Change, "A module was switched off, by an operator or by configuration.";
    ModuleOn, "module_on", INFO, Change, "A module was switched on again.";
    BreakerOpened, "breaker_opened", WARN, Traffic, "A module failed for a zone and is skipped there by its failure mode.";
    BreakerClosed, "breaker_closed", INFO, Traffic, "A probe succeeded and the module runs again.";
    RuleTripped, "rule_tripped", WARN, Traffic, "One rule used up its time and is skipped.";
    // -- origins and ourselves
    OriginDown, "origin_down", WARN, Traffic, "A monitor found an origin unhealthy, or it was left out after failures in a row.";
    OriginUp, "origin_up", INFO, Traffic, "An origin is well again.";
    TelemetrySuppressed, "telemetry_suppressed", WARN, Traffic, "Telling of failing requests reached its share of the processor; the text says how many were counted but not told.";
    Drill, "drill", WARN, Change, "Faults are being injected on purpose (SEAWALL_DRILL).";
    Alert, "alert", ERROR, Change, "Someone should look at this now; the text says at what.";
    Unknown, "unknown", INFO, Change, "Written by a newer version, whose word for it begins the text.";
}

impl Kind {
    /// The kind of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Kind> {
        KINDS.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// Position in [`KINDS`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it says that something is wrong.
    #[must_use]
    pub fn is_bad(self) -> bool {
        self.level() <= Level::WARN
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    /// A name that this version does not know is [`Kind::Unknown`]: after an upgrade was taken back, the older program
    /// reads what the newer one wrote.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Kind::of_name(&name).unwrap_or(Kind::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_a_sentence() {
        let names: HashSet<&str> = KINDS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), KINDS.len());
        for (position, row) in KINDS.iter().enumerate() {
            assert_eq!(row.kind.index(), position);
            assert_eq!(Kind::of_name(row.name), Some(row.kind));
            assert_eq!(
                (row.kind.name(), row.kind.level(), row.kind.source()),
                (row.name, row.level, row.source)
            );
            assert!(row.doc.ends_with('.'), "{}", row.name);
        }
    }

    #[test]
    fn what_traffic_can_cause_is_never_counted_as_a_change() {
        for kind in [Kind::BreakerOpened, Kind::BreakerClosed, Kind::WorkerStuck, Kind::TelemetrySuppressed] {
            assert_eq!(kind.source(), Source::Traffic, "{kind}");
        }
    }
}
