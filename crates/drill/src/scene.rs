//! Where a drill plays: what it may start, what it writes down.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::evidence::{Chart, Evidence, Line, Mark, Table};
use crate::fault::Fault;
use crate::installation::{Installation, LOOK};
use crate::load::{Load, Visits};
use crate::samples::Samples;
use crate::site::Site;
use crate::verdict::Check;
use crate::watch::{Reading, Readings, Watch};

/// Most marks of the product's own timeline shown for one drill; what a drill does itself is always shown.
const MARKS_MAX: usize = 200;

/// How long stages and soaks take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// A second or less for a stage, so that a drill takes seconds.
    #[default]
    Quick,
    /// As the product does by default.
    Real,
}

/// See the module.
#[derive(Debug)]
pub struct Scene {
    program: PathBuf,
    pace: Pace,
    without: Vec<String>,
    own: Vec<String>,
    began: Instant,
    began_unix_ms: u64,
    pub(crate) checks: Vec<Check>,
    pub(crate) evidence: Evidence,
}

impl Scene {
    pub(crate) fn new(program: &Path, pace: Pace, without: Vec<String>, own: Vec<String>) -> Self {
        Self {
            program: program.to_owned(),
            pace,
            without,
            own,
            began: Instant::now(),
            began_unix_ms: unix_ms(),
            checks: Vec::new(),
            evidence: Evidence::default(),
        }
    }

    /// The program under test.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// How long stages take.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Milliseconds since the drill began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// A moment of the wall clock, in milliseconds since the drill began.
    #[must_use]
    pub fn ms_of_unix(&self, unix_ms: u64) -> u64 {
        unix_ms.saturating_sub(self.began_unix_ms)
    }

    /// The sabotage file: the guards this run goes without, these as well, and these faults.
    #[must_use]
    pub fn sabotage(&self, also_without: &[&str], faults: Value) -> Value {
        let without: Vec<&str> = self.guards_off().into_iter().chain(also_without.iter().copied()).collect();
        json!({ "without": without, "faults": faults })
    }

    /// Guards of the program that are off; those of the drill's own making are not its business.
    fn guards_off(&self) -> Vec<&str> {
        self.without.iter().filter(|name| !self.own.contains(*name)).map(String::as_str).collect()
    }

    /// Whether this run goes without a guard.
    #[must_use]
    pub fn is_without(&self, guard: &str) -> bool {
        self.without.iter().any(|name| name == guard)
    }

    /// An installation that does not run yet. The guards to go without are already gone.
    pub fn prepare(&self, site: &Site) -> Result<Installation, Fault> {
        let mut installation = Installation::prepare(&self.program, site, self.pace)?;
        if !self.guards_off().is_empty() {
            installation.sabotage(&self.sabotage(&[], json!([])))?;
        }
        Ok(installation)
    }

    /// One that serves.
    pub async fn install(&self, site: &Site) -> Result<Installation, Fault> {
        let mut installation = self.prepare(site)?;
        installation.start().await?;
        Ok(installation)
    }

    /// Visitors.
    #[must_use]
    pub fn load(&self, visits: Visits) -> Load {
        Load::begin(visits, self.began)
    }

    /// An eye on an installation.
    #[must_use]
    pub fn watch(&self, installation: &Installation) -> Watch {
        Watch::begin(installation, self.began)
    }

    /// Waits.
    pub async fn pass(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Waits until something is so: how long that took in milliseconds, or `None` if it was not within the limit.
    pub async fn until(&self, limit_ms: u64, mut is_so: impl FnMut() -> bool + Send) -> Option<u64> {
        let began = Instant::now();
        loop {
            if is_so() {
                return Some(began.elapsed().as_millis() as u64);
            }
            if began.elapsed() > Duration::from_millis(limit_ms) {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Writes down a check.
    pub fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Writes down that the drill did something, now. Returns when.
    pub fn mark(&mut self, kind: &str, text: impl Into<String>) -> u64 {
        let at_ms = self.now_ms();
        self.evidence.marks.push(Mark { at_ms, by_drill: true, kind: kind.to_owned(), text: text.into() });
        at_ms
    }

    /// Keeps what visitors saw, for the report.
    pub fn keep_load(&mut self, name: &str, samples: &Samples) {
        self.evidence.loads.push((name.to_owned(), samples.clone()));
    }

    /// Keeps answers in error.
    pub fn keep_odd(&mut self, odd: Vec<String>) {
        self.evidence.odd.extend(odd);
    }

    /// Keeps a chart of lines. Lines without a point are left out, and a chart without a line.
    pub fn chart(&mut self, title: &str, unit: &'static str, lines: Vec<(&str, Vec<(u64, f64)>)>) {
        self.keep_chart(title, unit, lines, false);
    }

    /// The same, of values that hold until the next.
    pub fn chart_of_steps(&mut self, title: &str, unit: &'static str, lines: Vec<(&str, Vec<(u64, f64)>)>) {
        self.keep_chart(title, unit, lines, true);
    }

    fn keep_chart(
        &mut self,
        title: &str,
        unit: &'static str,
        lines: Vec<(&str, Vec<(u64, f64)>)>,
        steps: bool,
    ) {
        let lines: Vec<Line> = lines
            .into_iter()
            .filter(|(_, points)| !points.is_empty())
            .map(|(name, points)| Line { name: name.to_owned(), points, steps })
            .collect();
        if !lines.is_empty() {
            self.evidence.charts.push(Chart { title: title.to_owned(), unit, lines });
        }
    }

    /// Keeps the chart of a canary's share.
    pub fn chart_of_canary(&mut self, readings: &Readings) {
        let share = readings.points(Reading::percent);
        if share.iter().any(|(_, percent)| *percent > 0.0) {
            self.chart_of_steps("Share of requests under the candidate", "%", vec![("candidate", share)]);
        }
    }

    /// Keeps a table.
    pub fn table(&mut self, table: Table) {
        self.evidence.tables.push(table);
    }

    /// Takes an installation's timeline over into the drill's.
    pub fn keep_timeline(&mut self, installation: &Installation) {
        for event in installation.timeline().into_iter().take(MARKS_MAX) {
            let place: Vec<String> = [
                event.snapshot.map(|number| format!("snapshot {number}")),
                event.zone.map(|zone| format!("zone {zone}")),
                event.module.map(|module| format!("module {module}")),
                event.unit.map(|unit| format!("unit {unit}")),
            ]
            .into_iter()
            .flatten()
            .collect();
            let mut text = if event.text.is_empty() { place.join(", ") } else { event.text };
            if !event.cause.is_empty() && !text.contains(&event.cause) {
                text = format!("{text} ({})", event.cause);
            }
            let at_ms = self.ms_of_unix(event.unix_ms);
            self.evidence.marks.push(Mark { at_ms, by_drill: false, kind: event.kind, text });
        }
    }
}

/// The wall clock, unix milliseconds.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
