//! From a request head to the values of features: one pass over the headers, one over the user agent, one over the
//! path, then a few reads for each feature. Nothing is allocated, and what is read is bounded.

use crate::consistent;
use crate::fault::ScoreFault;
use crate::file::Feature;
use crate::kinds::{Kind, Measure};
use crate::limits::{FEATURES_MAX, HEADERS_MAX, PARAMETER_BYTES_MAX, PATH_BYTES_READ, VALUE_BYTES_READ};
use crate::names::{Written, written};
use crate::path::PathFacts;
use crate::search::Search;
use crate::watch::Watch;
use memchr::memmem::Finder;
use seawall_http::known::KNOWN;
use seawall_http::{Known, Version, View};

/// The value of what is not there: apart from 0 and from every value that is.
pub(crate) const ABSENT: f32 = -1.0;

/// How to measure each feature of a file.
#[derive(Clone, Debug, Default)]
pub struct Extraction {
    steps: Vec<Step>,
    /// The greatest value of each feature.
    most: Vec<f32>,
    watch: Watch,
    texts: Vec<Finder<'static>>,
    agent: Search,
    path: Search,
    /// Whether a feature asks how names are written, which takes a look at every letter.
    reads_names: bool,
    /// Whether a feature asks for the path's bytes.
    reads_path: bool,
}

/// How one feature is measured. Numbers are slots of headers, except those of texts and methods.
#[derive(Clone, Copy, Debug)]
enum Step {
    Present(u8),
    Length(u8),
    Items(u8),
    Position(u8),
    Before(u8, u8),
    Contains(u8, usize),
    Equals(u8, usize),
    SameHost(u8),
    /// Filled by the search of the user agent or the path.
    Searched(f32),
    Words(u8),
    Method(usize),
    Fact(Measure),
    Hints(u8, u8),
    Platform(u8, u8),
    Mobile(u8, u8),
    Fetch([u8; 4]),
    /// Of an unknown kind, or with a parameter that makes no sense.
    Broken,
}

/// What was seen of one header.
#[derive(Clone, Copy)]
struct Seen<'a> {
    value: &'a [u8],
    position: u8,
}

const NOWHERE: u8 = u8::MAX;

/// What one pass over the headers gives.
struct Facts<'a> {
    seen: [Seen<'a>; HEADERS_MAX],
    count: u32,
    bytes: usize,
    lower: u32,
    odd: u32,
    repeated: u32,
}

impl Extraction {
    /// Prepares to measure these features. What makes no sense is found out when it is measured.
    #[must_use]
    pub fn of(features: &[Feature]) -> Extraction {
        let mut this = Extraction::default();
        if features.len() > FEATURES_MAX {
            // Never measured: there are not that many slots. So nothing is spent on them.
            this.steps.resize(features.len(), Step::Broken);
            return this;
        }
        let (mut agent, mut path) = (Vec::new(), Vec::new());
        for (i, feature) in features.iter().enumerate() {
            let kind = Kind::of_name(&feature.kind);
            let step = kind.and_then(|kind| this.step(kind, &feature.parameter)).unwrap_or(Step::Broken);
            this.steps.push(step);
            this.most.push(kind.map_or(0.0, |kind| kind.most));
            match (step, kind.map(|kind| kind.measure)) {
                (Step::Searched(_), Some(Measure::PathText)) => {
                    path.push((feature.parameter.as_str(), i, false))
                }
                (Step::Searched(_), Some(measure)) => {
                    agent.push((feature.parameter.as_str(), i, measure == Measure::AgentVersion));
                }
                _ => {}
            }
        }
        for (search, texts) in [(&mut this.agent, agent), (&mut this.path, path)] {
            match Search::of(&texts) {
                Some(made) => *search = made,
                None => {
                    for (_, i, _) in texts {
                        if let Some(step) = this.steps.get_mut(i) {
                            *step = Step::Broken;
                        }
                    }
                }
            }
        }
        this
    }

    /// Number of features.
    #[must_use]
    pub fn count(&self) -> usize {
        self.steps.len()
    }

    /// Memory held, in bytes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.steps.capacity() * size_of::<Step>()
            + self.most.capacity() * size_of::<f32>()
            + self.texts.capacity() * size_of::<Finder<'_>>()
            + self.agent.memory_bytes()
            + self.path.memory_bytes()
    }

    /// Measures a request into slots and returns those filled.
    ///
    /// # Errors
    /// When there are too few slots, or a feature cannot be computed.
    pub fn measure<'s>(&self, view: &View<'_>, slots: &'s mut [f32]) -> Result<&'s [f32], ScoreFault> {
        let (features, room) = (self.steps.len(), slots.len());
        // Slots beyond the most there may be do not count: nothing was prepared for that many features.
        let Some(values) = slots.get_mut(..features).filter(|_| features <= FEATURES_MAX) else {
            return Err(ScoreFault::TooManyFeatures { features, slots: room });
        };
        let facts = self.facts(view);
        let path = read(view.head.path(), PATH_BYTES_READ);
        let path_facts = if self.reads_path { PathFacts::of(path) } else { PathFacts::default() };
        for (i, ((value, step), most)) in values.iter_mut().zip(&self.steps).zip(&self.most).enumerate() {
            let Some(measured) = self.value(*step, view, &facts, path, &path_facts) else {
                return Err(ScoreFault::Feature(i));
            };
            *value = measured.min(*most);
        }
        if !self.agent.is_empty()
            && let Some(agent) = view.head.fields.get(Known::UserAgent)
        {
            self.agent.run(read(agent, VALUE_BYTES_READ), values);
        }
        self.path.run(path, values);
        Ok(values)
    }

    fn step(&mut self, kind: &Kind, parameter: &str) -> Option<Step> {
        // What is searched for costs memory by its length.
        if parameter.len() > PARAMETER_BYTES_MAX {
            return None;
        }
        self.reads_names |= matches!(kind.measure, Measure::NamesLower | Measure::NamesOdd);
        self.reads_path |= matches!(
            kind.measure,
            Measure::PathDepth | Measure::PathEntropy | Measure::PathDigits | Measure::PathEncoded
        );
        let mut slots = Vec::new();
        for name in Watch::names_of(kind, parameter) {
            slots.push(self.watch.enter(&name)?);
        }
        let slot = |i: usize| slots.get(i).copied();
        Some(match kind.measure {
            Measure::Present => Step::Present(slot(0)?),
            Measure::Length => Step::Length(slot(0)?),
            Measure::Items => Step::Items(slot(0)?),
            Measure::Position => Step::Position(slot(0)?),
            Measure::Before => Step::Before(slot(0)?, slot(1)?),
            Measure::Contains => Step::Contains(slot(0)?, self.text(parameter.split_once(':')?.1)),
            Measure::Equals => Step::Equals(slot(0)?, self.text(parameter.split_once(':')?.1)),
            Measure::SameHost => Step::SameHost(slot(0)?),
            Measure::AgentText | Measure::PathText => Step::Searched(0.0),
            Measure::AgentVersion => Step::Searched(ABSENT),
            Measure::AgentWords => Step::Words(slot(0)?),
            Measure::Method => Step::Method(self.text(parameter)),
            Measure::HintsAgree => Step::Hints(slot(0)?, slot(1)?),
            Measure::PlatformAgrees => Step::Platform(slot(0)?, slot(1)?),
            Measure::MobileAgrees => Step::Mobile(slot(0)?, slot(1)?),
            Measure::FetchAgrees => Step::Fetch([slot(0)?, slot(1)?, slot(2)?, slot(3)?]),
            other => Step::Fact(other),
        })
    }

    fn text(&mut self, text: &str) -> usize {
        self.texts.push(Finder::new(text.as_bytes()).into_owned());
        self.texts.len() - 1
    }

    fn facts<'a>(&self, view: &View<'a>) -> Facts<'a> {
        let nothing = Seen { value: &[], position: NOWHERE };
        let mut facts =
            Facts { seen: [nothing; HEADERS_MAX], count: 0, bytes: 0, lower: 0, odd: 0, repeated: 0 };
        let mut stood = [false; KNOWN];
        let reads_names = self.reads_names && has_case(view);
        for (known, name, value) in view.head.fields.iter() {
            if let Some(slot) = self.watch.slot(known, name)
                && let Some(seen) = facts.seen.get_mut(usize::from(slot))
                && seen.position == NOWHERE
            {
                // At most 250 fields, so a position is never NOWHERE.
                *seen = Seen { value: read(value, VALUE_BYTES_READ), position: facts.count as u8 };
            }
            if let Some(stood) = stood.get_mut(known as usize) {
                facts.repeated += u32::from(std::mem::replace(stood, true));
            }
            if reads_names {
                match written(name) {
                    Written::Lower => facts.lower += 1,
                    Written::Odd => facts.odd += 1,
                    Written::Capitalised => {}
                }
            }
            facts.count += 1;
            facts.bytes += name.len() + value.len();
        }
        facts
    }

    fn value(
        &self,
        step: Step,
        view: &View<'_>,
        facts: &Facts<'_>,
        path: &[u8],
        path_facts: &PathFacts,
    ) -> Option<f32> {
        let present = |slot: u8| facts.seen.get(usize::from(slot)).filter(|seen| seen.position != NOWHERE);
        let value = |slot: u8| present(slot).map(|seen| seen.value);
        let text = |i: usize| self.texts.get(i);
        let or_absent = |value: Option<f32>| Some(value.unwrap_or(ABSENT));
        match step {
            Step::Present(slot) => Some(yes(present(slot).is_some())),
            Step::Length(slot) => or_absent(value(slot).map(|v| v.len() as f32)),
            Step::Items(slot) => {
                or_absent(value(slot).map(|v| memchr::memchr_iter(b',', v).count() as f32 + 1.0))
            }
            Step::Position(slot) => or_absent(present(slot).map(|seen| f32::from(seen.position))),
            Step::Before(a, b) => {
                or_absent(present(a).zip(present(b)).map(|(a, b)| yes(a.position < b.position)))
            }
            Step::Contains(slot, i) => {
                let text = text(i)?;
                or_absent(value(slot).map(|v| yes(text.find(v).is_some())))
            }
            Step::Equals(slot, i) => {
                let text = text(i)?;
                or_absent(value(slot).map(|v| yes(v == text.needle())))
            }
            Step::SameHost(slot) => {
                or_absent(value(slot).map(|v| yes(consistent::same_host(v, view.head.host()))))
            }
            Step::Searched(before) => Some(before),
            Step::Words(slot) => {
                or_absent(value(slot).map(|v| memchr::memchr_iter(b' ', v).count() as f32 + 1.0))
            }
            Step::Method(i) => Some(yes(view.head.method_text == text(i)?.needle())),
            Step::Hints(agent, hints) => Some(consistent::hints(value(agent), value(hints))),
            Step::Platform(agent, platform) => Some(consistent::platform(value(agent), value(platform))),
            Step::Mobile(agent, mobile) => Some(consistent::mobile(value(agent), value(mobile))),
            Step::Fetch([site, mode, dest, user]) => {
                Some(consistent::fetch(value(site), value(mode), value(dest), value(user)))
            }
            Step::Fact(measure) => fact(measure, view, facts, path, path_facts),
            Step::Broken => None,
        }
    }
}

fn fact(
    measure: Measure,
    view: &View<'_>,
    facts: &Facts<'_>,
    path: &[u8],
    path_facts: &PathFacts,
) -> Option<f32> {
    let head = view.head;
    let has_case = has_case(view);
    let query = || head.query().map(|query| read(query, PATH_BYTES_READ));
    Some(match measure {
        Measure::HeaderCount => facts.count as f32,
        Measure::HeaderBytes => facts.bytes as f32,
        Measure::NamesLower if has_case => facts.lower as f32 / facts.count.max(1) as f32,
        Measure::NamesOdd if has_case => facts.odd as f32,
        Measure::NamesLower | Measure::NamesOdd => ABSENT,
        Measure::NamesRepeated => facts.repeated as f32,
        Measure::PathLength => path.len() as f32,
        Measure::PathDepth => path_facts.slashes as f32,
        Measure::PathEntropy => path_facts.entropy,
        Measure::PathDigits => path_facts.digits as f32 / path.len().max(1) as f32,
        Measure::PathEncoded => path_facts.percents as f32,
        Measure::QueryKeys => query().map_or(ABSENT, |q| {
            if q.is_empty() { 0.0 } else { memchr::memchr_iter(b'&', q).count() as f32 + 1.0 }
        }),
        Measure::QueryLength => query().map_or(ABSENT, |q| q.len() as f32),
        Measure::Version => match head.version {
            Version::H10 => 10.0,
            Version::H11 => 11.0,
            Version::H2 => 20.0,
        },
        Measure::Https => yes(view.https),
        Measure::HostIsAddress => yes(consistent::is_address(head.host())),
        Measure::AddressIsV6 => yes(view.address.is_ipv6()),
        _ => return None,
    })
}

/// Whether names have a case to look at: HTTP/2 knows lower case only (RFC 9113 §8.2).
fn has_case(view: &View<'_>) -> bool {
    view.head.version != Version::H2
}

#[inline]
fn read(text: &[u8], most: usize) -> &[u8] {
    text.get(..most).unwrap_or(text)
}

#[inline]
pub(crate) fn yes(is: bool) -> f32 {
    if is { 1.0 } else { 0.0 }
}
