//! What an edge starts with: the units of a snapshot, without those that were found to break it.

use crate::history::{Cause, History, UnitPrefix};
use crate::ledger::Ledger;
use crate::manifest::Manifest;
use crate::objects::{Objects, Repair};
use crate::store::{Store, serves};
use crate::store_fault::StoreFault;
use crate::unit::{Hash, UnitKind};
use crate::units::Units;

/// A unit that does not serve as its snapshot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its kind.
    pub kind: UnitKind,
    /// Its name.
    pub name: Box<str>,
    /// Its hash, where it is in quarantine; `None` where it is damaged.
    pub hash: Option<Hash>,
    /// Why.
    pub reason: String,
    /// What is done about it.
    pub with: Instead,
}

/// What serves in place of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Another version of it.
    Version {
        /// Its hash.
        hash: Hash,
        /// The snapshot it is from.
        from: u64,
    },
    /// Nothing: there is no other version.
    Nothing,
    /// Itself: there is no other version, and without it nothing could serve.
    Itself,
}

/// What an edge starts with.
#[derive(Debug)]
pub struct Start {
    /// The manifest. If units were replaced, that of a new snapshot of these units; where none could be written, that of the
    /// snapshot they come from, and [`Units::hash`] says what runs.
    pub manifest: Manifest,
    /// The units, to be run as they are.
    pub units: Units,
    /// What is not as the chosen snapshot says.
    pub replaced: Vec<Replaced>,
    /// Snapshots that came first and could not be used, with what is wrong with them.
    pub passed_over: Vec<(u64, String)>,
}

impl Store {
    /// Chooses and loads what an edge starts with ([`History::start_order`]). A damaged snapshot is passed over for the next
    /// older one; if none is whole, the first is taken of which single units are damaged, with other versions of these.
    /// Units in quarantine are replaced, and what is started with then is a snapshot of its own, so that what runs is what
    /// the hash says.
    ///
    /// Needs nothing but the disk, and of that only to be read. The caller says
    /// [`History::started`](crate::History::started) when it serves.
    ///
    /// # Errors
    /// [`StoreFault::Nothing`] when there is none.
    pub fn start(&self, fresh: bool) -> Result<Start, StoreFault> {
        let history = self.history()?;
        let order = history.start_order(fresh);
        let mut passed_over: Vec<(u64, String)> = Vec::new();
        for lenient in [false, true] {
            for number in &order {
                match self.prepare(*number, &history, lenient) {
                    Ok((manifest, units, replaced)) => {
                        passed_over.retain(|(passed, _)| passed != number);
                        let manifest = self.settle(manifest, &units, &replaced);
                        return Ok(Start { manifest, units, replaced, passed_over });
                    }
                    Err(fault) if !lenient => passed_over.push((*number, words(&fault))),
                    Err(_) => {}
                }
            }
        }
        Err(StoreFault::Nothing(passed_over))
    }

    /// The units of a snapshot without those in quarantine: each is replaced by its newest other version of the history, or
    /// left out. Says which were.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub fn effective(&self, number: u64) -> Result<(Manifest, Units, Vec<Replaced>), StoreFault> {
        self.prepare(number, &self.history()?, false)
    }

    fn prepare(
        &self,
        number: u64,
        history: &History,
        lenient: bool,
    ) -> Result<(Manifest, Units, Vec<Replaced>), StoreFault> {
        let _lock = self.reading();
        let manifest = self.manifest(number)?;
        let mut objects = self.objects()?;
        let mut damaged = Vec::new();
        let repair = if lenient { Repair::LeaveOut(&mut damaged) } else { Repair::Refuse };
        let mut units = self.build(&manifest, &mut objects, repair)?;
        if damaged.is_empty() {
            self.remember(number, &units);
        }
        let mut replaced = Vec::new();
        for (kind, name) in damaged {
            let reason = "it is damaged on the disk".to_owned();
            let with = self.other_version(history, &mut objects, &mut units, kind, &name, None);
            if with == Instead::Nothing && !kind.rules().may_be_left_out {
                let what = format!("{kind} {name:?} is damaged, and there is no other version of it");
                return Err(StoreFault::Damaged { number, what });
            }
            replaced.push(Replaced { kind, name, hash: None, reason, with });
        }
        if !history.quarantined_units.is_empty() {
            let ill: Vec<_> =
                units.iter().filter(|unit| history.is_quarantined_unit(&unit.hash)).cloned().collect();
            for unit in ill {
                let reason = history
                    .quarantined_units
                    .get(&UnitPrefix(unit.hash.prefix()))
                    .map_or_else(String::new, |quarantine| quarantine.reason.clone());
                let old = Some(unit.hash);
                let mut with =
                    self.other_version(history, &mut objects, &mut units, unit.kind, &unit.name, old);
                if with == Instead::Nothing {
                    let last = unit.kind == UnitKind::Zone && units.count(UnitKind::Zone) == 1;
                    if last || !unit.kind.rules().may_be_left_out {
                        with = Instead::Itself;
                    } else {
                        units.remove(unit.kind, &unit.name);
                    }
                }
                replaced.push(Replaced { kind: unit.kind, name: unit.name.clone(), hash: old, reason, with });
            }
        }
        Ok((manifest, units, replaced))
    }

    /// Puts the newest other version of a unit in, of a snapshot that could serve; a good one's before that of one on trial.
    fn other_version(
        &self,
        history: &History,
        objects: &mut Objects,
        units: &mut Units,
        kind: UnitKind,
        name: &str,
        old: Option<Hash>,
    ) -> Instead {
        for number in history.start_order(true) {
            if !history.entry(number).is_some_and(|entry| serves(entry.state)) {
                continue;
            }
            let Some(unit) =
                self.manifest(number).ok().and_then(|manifest| objects.find(&manifest, kind, name))
            else {
                continue;
            };
            if Some(unit.hash) != old && !history.is_quarantined_unit(&unit.hash) {
                let hash = unit.hash;
                units.put(unit);
                return Instead::Version { hash, from: number };
            }
        }
        Instead::Nothing
    }

    /// Makes a snapshot of what was replaced, so that it has a number and a manifest of its own.
    fn settle(&self, manifest: Manifest, units: &Units, replaced: &[Replaced]) -> Manifest {
        if units.hash() == manifest.content {
            return manifest;
        }
        let mut names: Vec<String> =
            replaced.iter().take(3).map(|r| format!("{} {}", r.kind, r.name)).collect();
        if replaced.len() > names.len() {
            names.push(format!("{} more", replaced.len() - names.len()));
        }
        let why = format!("snapshot {} without {}", manifest.number, names.join(", "));
        let made = self.publish(units, None, &Cause::new("quarantine", why));
        self.name_units(replaced);
        made.unwrap_or(manifest)
    }

    /// Notes which units are in quarantine, now that somebody has them at hand. Of no consequence, so a failure is none.
    fn name_units(&self, replaced: &[Replaced]) {
        let _ = self.update(|history| {
            for unit in replaced {
                let prefix = unit.hash.map(|hash| UnitPrefix(hash.prefix()));
                if let Some(quarantine) = prefix.and_then(|unit| history.quarantined_units.get_mut(&unit)) {
                    quarantine.unit = Some((unit.kind, unit.name.to_string()));
                }
            }
        });
        // Room was perhaps used up by the above.
        Ledger::new(&self.root, &self.disk).set_aside();
    }
}

fn words(fault: &StoreFault) -> String {
    match fault {
        StoreFault::Damaged { what, .. } => what.clone(),
        other => other.to_string(),
    }
}
