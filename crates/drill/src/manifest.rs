//! What a drill is, in words and in code.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

use crate::fault::Fault;
use crate::scene::Scene;

/// A real outage that a drill replays.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outage {
    /// Whose.
    pub whose: &'static str,
    /// When, as people name it.
    pub when: &'static str,
    /// What happened, in our own words.
    pub story: &'static str,
}

/// A guard of the product that a drill can be run without, to show that it is this guard that holds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Guard {
    /// Its name in the sabotage file.
    pub name: &'static str,
    /// What is missing without it, in a few words.
    pub without: &'static str,
    /// Guards that stand behind or before it and would hide that it is gone; they are turned off with it.
    pub with: &'static [&'static str],
    /// Whether it is no part of the program but of how the drill goes about it: the old way instead of Seawall's.
    pub by_drill: bool,
}

impl Guard {
    /// A guard of the program.
    #[must_use]
    pub const fn of(name: &'static str, without: &'static str, with: &'static [&'static str]) -> Self {
        Self { name, without, with, by_drill: false }
    }
}

/// What a drill returns once it has run: nothing, or why it could not be carried out.
pub type Outcome<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

/// One drill.
#[derive(Clone, Copy, Serialize)]
pub struct Manifest {
    /// Its name on the command line.
    pub name: &'static str,
    /// A heading for people.
    pub title: &'static str,
    /// What it replays.
    pub replays: Outage,
    /// What is broken on purpose.
    pub fault: &'static str,
    /// What visitors do meanwhile.
    pub load: &'static str,
    /// What is looked at, all of it from outside.
    pub observed: &'static str,
    /// When it passes.
    pub pass: &'static str,
    /// The guards it can be run without.
    pub guards: &'static [Guard],
    /// The drill itself.
    #[serde(skip)]
    pub run: for<'a> fn(&'a mut Scene) -> Outcome<'a>,
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Manifest {
    /// The guard of this name, if the drill can be run without it.
    #[must_use]
    pub fn guard(&self, name: &str) -> Option<&'static Guard> {
        self.guards.iter().find(|guard| guard.name == name)
    }
}
