//! How a candidate is brought in.

use seawall_model::Rollout;
use std::time::Duration;

/// Least requests seen in a stage with short holds: enough for a fault that hits every request, quick enough for a
/// kill switch.
const QUICK_REQUESTS: u32 = 20;

/// The stages of one rollout and what each asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Percent of requests under the candidate, stage by stage.
    pub stages: Vec<u8>,
    /// Least time a stage lasts, in milliseconds.
    pub hold_ms: u64,
    /// Least requests seen under the candidate in a stage, real and synthetic together.
    pub requests: u32,
    /// Share of requests (0 to 1) whose verdict is meant to change: what the operator acknowledged after the rehearsal. The
    /// gate on verdicts bears that much more.
    pub expected_change: f64,
    /// How long measurements may be missing, in milliseconds. `None`: for ever, which only drills want (DESIGN R7).
    pub silence_ms: Option<u64>,
    /// Whether gates compare at all. Only drills say no.
    pub gates: bool,
}

impl Plan {
    /// The stages of an ordinary change.
    #[must_use]
    pub fn new(settings: &Rollout) -> Plan {
        // A configuration without stages is refused where it is read; here it must not mean "at once" (DESIGN R1).
        let stages =
            if settings.stages.is_empty() { Rollout::default().stages } else { settings.stages.clone() };
        Plan {
            stages,
            hold_ms: ms(settings.hold),
            requests: settings.requests,
            expected_change: 0.0,
            silence_ms: Some(crate::SILENCE_MS),
            gates: true,
        }
    }

    /// The same stages, shorter, for kill switches and bans. They are meant to change what becomes of requests, so verdicts
    /// are not compared; everything else is.
    #[must_use]
    pub fn quick(settings: &Rollout) -> Plan {
        let plan = Plan::new(settings);
        Plan {
            hold_ms: ms(settings.quick_hold).min(plan.hold_ms),
            requests: plan.requests.min(QUICK_REQUESTS),
            expected_change: 1.0,
            ..plan
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_plan_has_every_stage_and_is_never_slower() {
        let settings = Rollout::default();
        let (plan, quick) = (Plan::new(&settings), Plan::quick(&settings));
        assert_eq!((plan.stages.as_slice(), plan.hold_ms), (&[1, 10, 50][..], 8_000));
        assert_eq!((&quick.stages, quick.hold_ms), (&plan.stages, 1_000));
        assert!(quick.gates && quick.silence_ms.is_some());
        let fast = Rollout { hold: Duration::from_millis(50), ..settings };
        assert_eq!(Plan::quick(&fast).hold_ms, 50);
    }

    #[test]
    fn no_stages_is_not_at_once() {
        assert!(!Plan::new(&Rollout { stages: Vec::new(), ..Rollout::default() }).stages.is_empty());
    }
}
