use super::*;

const DRAIN: u64 = 30_000;

struct World {
    role: Role,
    next: Generation,
}

impl World {
    /// A role whose child 1 has been serving since 0.
    fn serving() -> Self {
        let mut world = Self { role: Role::new(1), next: 0 };
        let started = world.role.begin(0, &mut world.next);
        assert_eq!(started, [Action::Start { generation: 1, purpose: Purpose::First }]);
        assert!(world.role.serving().is_none(), "not before it said so");
        world.role.ready(0, 1, DRAIN);
        assert_eq!(world.role.serving(), Some(1));
        world
    }

    fn tick(&mut self, now: u64) -> Vec<Action> {
        self.role.tick(now, &mut self.next)
    }
}

fn starts(actions: &[Action]) -> Vec<Generation> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Start { generation, .. } => Some(*generation),
            _ => None,
        })
        .collect()
}

#[test]
fn a_child_that_dies_is_replaced_at_once() {
    let mut world = World::serving();
    let actions = world.role.exited(1_000, 1, "was killed by SIGKILL");
    assert!(matches!(&actions[..], [Action::Report(Report::Died { restart_in_ms: 0, .. })]));
    assert_eq!(starts(&world.tick(1_000)), [2]);
    assert_eq!(world.role.restarts(), 1);
}

#[test]
fn a_child_that_keeps_dying_is_tried_for_ever_but_ever_more_slowly() {
    let mut world = World::serving();
    let mut now = 0;
    let mut generation = 1;
    for _ in 0..200 {
        world.role.exited(now, generation, "ended with code 1");
        let at = world.role.next_deadline().unwrap();
        assert!(at - now <= 6_000);
        assert!(at == now || world.tick(at - 1).is_empty(), "not early");
        now = at;
        generation = starts(&world.tick(now))[0];
    }
    assert!(now > 100 * 4_000, "at the end one try takes several seconds");
}

#[test]
fn silence_of_five_seconds_is_a_hang_and_heartbeats_prevent_it() {
    let mut world = World::serving();
    for second in 1..60 {
        world.role.alive(second * 1_000, 1, 20);
        assert!(world.tick(second * 1_000).is_empty());
    }
    for second in 60..64 {
        assert!(world.tick(second * 1_000).is_empty());
    }
    let actions = world.tick(59_000 + SILENCE_MS);
    assert!(matches!(&actions[..], [Action::Report(Report::Hung { .. }), Action::Kill { generation: 1 }]));
    assert!(world.tick(65_000).is_empty(), "killed once");
    world.role.exited(65_100, 1, "was killed by SIGKILL");
    assert_eq!(starts(&world.tick(65_100)), [2]);
}

#[test]
fn a_process_that_talks_while_one_worker_is_stuck_is_hung_too() {
    let mut world = World::serving();
    for second in 1..5 {
        world.role.alive(second * 1_000, 1, second * 1_000);
        assert!(world.tick(second * 1_000).is_empty());
    }
    world.role.alive(5_000, 1, 5_000);
    assert!(matches!(&world.tick(5_000)[..], [Action::Report(Report::Hung { .. }), Action::Kill { .. }]));
}

#[test]
fn a_machine_that_was_asleep_does_not_kill_its_children_on_waking() {
    let mut world = World::serving();
    world.role.alive(1_000, 1, 0);
    assert!(world.tick(1_000).is_empty());
    assert!(world.tick(3_600_000).is_empty());
    assert!(world.tick(3_601_000).is_empty());
    assert!(
        !world.tick(3_603_400).is_empty() || !world.tick(3_605_000).is_empty(),
        "but real silence is noticed"
    );
}

#[test]
fn a_replacement_takes_over_only_when_it_is_ready() {
    let mut world = World::serving();
    world.role.alive(10_000, 1, 0);
    let actions = world.role.replace(10_000, &mut world.next, Purpose::Upgrade).unwrap();
    assert_eq!(starts(&actions), [2]);
    assert_eq!(world.role.serving(), Some(1));
    assert_eq!(world.role.replace(10_001, &mut world.next, Purpose::Upgrade), Err(Busy::Replacing));
    let actions = world.role.ready(11_000, 2, DRAIN);
    assert!(matches!(
        &actions[..],
        [
            Action::Report(Report::Serving { generation: 2, .. }),
            Action::Drain { generation: 1, limit_ms: None }
        ]
    ));
    assert_eq!(world.role.serving(), Some(2));
    world.role.draining(11_001, &mut world.next, 1, DRAIN);
    let actions = world.role.exited(12_000, 1, "ended");
    assert!(matches!(&actions[..], [Action::Report(Report::Left { generation: 1, .. })]));
    assert!(world.role.next_deadline().unwrap() <= 16_000);
}

#[test]
fn a_replacement_that_dies_or_never_gets_ready_changes_nothing() {
    let mut world = World::serving();
    world.role.replace(0, &mut world.next, Purpose::Upgrade).unwrap();
    let actions = world.role.exited(500, 2, "ended with code 1");
    assert!(matches!(&actions[..], [Action::Report(Report::CandidateFailed { generation: 2, .. })]));
    assert_eq!(world.role.serving(), Some(1));

    world.role.replace(1_000, &mut world.next, Purpose::Upgrade).unwrap();
    for second in 1..=30 {
        world.role.alive(second * 1_000, 1, 0);
        assert!(world.tick(second * 1_000).is_empty());
    }
    let actions = world.tick(1_000 + START_MS);
    assert!(matches!(
        &actions[..],
        [Action::Report(Report::NeverReady { generation: 3 }), Action::Kill { generation: 3 }]
    ));
    assert!(world.role.ready(31_500, 3, DRAIN).is_empty(), "too late is too late");
    let actions = world.role.exited(32_000, 3, "was killed by SIGKILL");
    assert!(
        matches!(&actions[..], [Action::Report(Report::CandidateFailed { why, .. })] if why.contains("in time"))
    );
    assert_eq!(world.role.serving(), Some(1));
}

#[test]
fn when_the_serving_child_dies_during_a_replacement_either_may_take_its_place() {
    let mut world = World::serving();
    world.role.replace(0, &mut world.next, Purpose::Upgrade).unwrap();
    world.role.exited(100, 1, "ended");
    assert_eq!(starts(&world.tick(100)), [3]);
    let actions = world.role.ready(200, 2, DRAIN);
    assert!(
        actions.contains(&Action::Kill { generation: 3 }),
        "it never served, so there is nothing to drain"
    );
    assert_eq!(world.role.serving(), Some(2));
}

#[test]
fn a_child_that_leaves_by_itself_gets_its_successor_at_once() {
    let mut world = World::serving();
    let actions = world.role.draining(100, &mut world.next, 1, DRAIN);
    assert_eq!(starts(&actions), [2]);
    assert!(!world.role.is_empty());
}

#[test]
fn stopping_drains_and_then_kills_and_never_restarts() {
    let mut world = World::serving();
    assert_eq!(world.role.stop(0, 1_000), [Action::Drain { generation: 1, limit_ms: None }]);
    assert!(world.tick(1_000 + DRAIN_GRACE_MS - 1).is_empty());
    let actions = world.tick(1_000 + DRAIN_GRACE_MS);
    assert!(actions.contains(&Action::Kill { generation: 1 }));
    world.role.exited(5_000, 1, "was killed by SIGKILL");
    assert!(world.role.is_empty());
    assert!(world.tick(100_000).is_empty());
}

#[test]
fn a_second_order_to_stop_kills() {
    let mut world = World::serving();
    world.role.stop(0, 30_000);
    assert_eq!(world.role.stop_now(10), [Action::Kill { generation: 1 }]);
}

#[test]
fn too_many_leaving_children_hold_up_the_next_replacement() {
    let mut world = World::serving();
    for _ in 0..LEAVING_MAX {
        world.role.replace(0, &mut world.next, Purpose::Upgrade).unwrap();
        let candidate = world.role.candidate().unwrap();
        world.role.ready(0, candidate, DRAIN);
    }
    assert_eq!(world.role.replace(0, &mut world.next, Purpose::Upgrade), Err(Busy::Leaving));
}

#[test]
fn a_resumed_role_goes_on_where_the_earlier_program_was() {
    let mut next = 7;
    let mut role = Role::resumed(1, 1_000, Some(7), &[(5, 2_000)], 3);
    assert_eq!((role.serving(), role.restarts()), (Some(7), 3));
    assert!(role.tick(2_999, &mut next).is_empty());
    assert!(role.tick(3_000, &mut next).contains(&Action::Kill { generation: 5 }));
    role.exited(3_100, 7, "ended");
    assert_eq!(starts(&role.tick(3_100, &mut next)), [8]);
    let mut orphaned = Role::resumed(1, 1_000, None, &[], 0);
    assert_eq!(starts(&orphaned.tick(1_000, &mut next)), [9]);
}

#[test]
fn a_child_with_stuck_workers_is_replaced_in_good_order_and_not_killed() {
    let mut world = World::serving();
    assert_eq!(world.role.stuck(900, &mut world.next, 1, 0), [], "none is stuck");
    assert_eq!(world.role.stuck(900, &mut world.next, 9, 1), [], "whoever that is");
    let actions = world.role.stuck(1_000, &mut world.next, 1, 1);
    assert_eq!(
        actions,
        [
            Action::Report(Report::Stuck { generation: 1, workers: 1 }),
            Action::Start { generation: 2, purpose: Purpose::Unstick }
        ]
    );
    assert_eq!(world.role.serving(), Some(1), "its stand-ins go on meanwhile");
    assert_eq!(world.role.standing(2), Some(Standing::Candidate));
    let actions = world.role.ready(1_500, 2, DRAIN);
    assert_eq!(actions[1..], [Action::Drain { generation: 1, limit_ms: Some(UNSTICK_DRAIN_MS) }]);
    assert_eq!(world.role.standing(1), Some(Standing::Leaving));
    let at = 1_500 + UNSTICK_DRAIN_MS + DRAIN_GRACE_MS;
    world.role.alive(at, 2, 0);
    assert_eq!(
        world.tick(at),
        [Action::Report(Report::Overdue { generation: 1 }), Action::Kill { generation: 1 }],
        "what still spins then is killed"
    );
}

#[test]
fn what_gets_stuck_again_and_again_is_replaced_ever_more_slowly() {
    let mut world = World::serving();
    let (mut now, mut replaced) = (0, Vec::new());
    let hour = 3_600_000;
    while now < hour {
        let serving = world.role.serving().unwrap();
        world.role.alive(now, serving, 0);
        world.tick(now);
        if !world.role.stuck(now, &mut world.next, serving, 1).is_empty() {
            replaced.push(now);
            let candidate = world.role.candidate().unwrap();
            world.role.ready(now, candidate, DRAIN);
            world.role.exited(now, serving, "ended");
        }
        now += 1_000;
    }
    assert_eq!(replaced[..4], [0, 10_000, 30_000, 70_000]);
    assert!(replaced.windows(2).all(|w| w[1] - w[0] <= UNSTICK_LONGEST_MS), "but always again");
    assert!(replaced.len() < 20, "{replaced:?}");
    let serving = world.role.serving().unwrap();
    now += 2 * UNSTICK_LONGEST_MS;
    world.role.alive(now, serving, 0);
    assert!(!world.role.stuck(now, &mut world.next, serving, 1).is_empty());
    let candidate = world.role.candidate().unwrap();
    world.role.ready(now, candidate, DRAIN);
    let actions = world.role.stuck(now + UNSTICK_MS, &mut world.next, candidate, 1);
    assert!(!actions.is_empty(), "a long calm is forgiven");
}

#[test]
fn a_successor_for_stuck_workers_that_fails_changes_nothing_and_is_tried_again() {
    let mut world = World::serving();
    world.role.stuck(0, &mut world.next, 1, 1);
    let actions = world.role.exited(100, 2, "ended with code 1");
    assert!(matches!(
        &actions[..],
        [Action::Report(Report::CandidateFailed { purpose: Purpose::Unstick, .. })]
    ));
    assert_eq!(world.role.serving(), Some(1));
    assert_eq!(world.role.stuck(200, &mut world.next, 1, 1), []);
    assert_eq!(starts(&world.role.stuck(UNSTICK_MS, &mut world.next, 1, 1)), [3]);
}

#[test]
fn what_a_child_is_to_its_role_is_known_until_it_has_gone() {
    let mut world = World::serving();
    assert_eq!(world.role.standing(1), Some(Standing::Serving));
    world.role.exited(0, 1, "was killed by SIGKILL");
    assert_eq!(world.role.standing(1), None);
    let next = starts(&world.tick(0))[0];
    assert_eq!(world.role.standing(next), Some(Standing::Serving), "ready or not");
}
