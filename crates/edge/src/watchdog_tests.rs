use super::*;

fn hand(turn: u64, module: Option<usize>) -> Hand {
    Hand { unit: 7, module, turn }
}

fn running(ms: u64) -> impl Fn() -> Option<Ran> {
    move || Some(Ran { wants: true, ms })
}

fn unknown() -> Option<Ran> {
    None
}

/// Looks every 50 ms until something is found, and says how long that took.
fn until_found(gaze: &mut Gaze, hand: Hand, kernel: impl Fn(u64) -> Option<Ran>) -> (u64, Finding) {
    for looks in 1..200 {
        let finding = gaze.look(hand, 100, 50, || kernel(looks * 50));
        if finding != Finding::Nothing {
            return (looks * 50, finding);
        }
    }
    (u64::MAX, Finding::Nothing)
}

#[test]
fn the_same_module_in_hand_for_a_quarter_of_a_second_is_stuck_and_said_once() {
    let mut gaze = Gaze::default();
    let (at_ms, finding) = until_found(&mut gaze, hand(3, Some(1)), |ms| Some(Ran { wants: true, ms }));
    assert_eq!((at_ms, finding), (300, Finding::Stuck { for_ms: 250 }), "the first look starts the clock");
    assert_eq!(gaze.look(hand(3, Some(1)), 100, 50, running(1_000)), Finding::Nothing);
    assert_eq!(gaze.look(hand(4, Some(1)), 100, 50, running(1_050)), Finding::Back);
}

#[test]
fn a_module_that_sleeps_is_as_stuck_as_one_that_spins() {
    let (at_ms, _) =
        until_found(&mut Gaze::default(), hand(3, Some(1)), |_| Some(Ran { wants: false, ms: 0 }));
    assert_eq!(at_ms, 300);
    let (at_ms, _) = until_found(&mut Gaze::default(), hand(3, Some(1)), |_| None);
    assert_eq!(at_ms, 300, "and where the kernel tells nothing the clock decides");
}

#[test]
fn waiting_for_a_processor_is_not_being_stuck() {
    let (at_ms, finding) =
        until_found(&mut Gaze::default(), hand(3, Some(1)), |_| Some(Ran { wants: true, ms: 40 }));
    assert_eq!((at_ms, finding), (u64::MAX, Finding::Nothing));
    let (at_ms, _) =
        until_found(&mut Gaze::default(), hand(3, Some(1)), |ms| Some(Ran { wants: true, ms: ms / 4 }));
    assert!(
        (1_000..1_200).contains(&at_ms),
        "with a quarter of a processor it takes four times as long: {at_ms}"
    );
}

#[test]
fn a_busy_worker_that_takes_up_one_thing_after_the_other_is_not_stuck() {
    let mut gaze = Gaze::default();
    for look in 0..100 {
        assert_eq!(gaze.look(hand(look * 1_000, Some(1)), 0, 50, running(look * 50)), Finding::Nothing);
    }
}

#[test]
fn a_note_that_was_never_taken_back_does_not_make_a_worker_that_goes_round_a_stuck_one() {
    let mut gaze = Gaze::default();
    for look in 0..100 {
        assert_eq!(gaze.look(hand(3, Some(1)), look / 2 * 100, 50, unknown), Finding::Nothing);
    }
}

#[test]
fn outside_of_modules_a_second_without_a_beat_is_stuck() {
    let mut gaze = Gaze::default();
    let (at_ms, finding) = until_found(&mut gaze, hand(3, None), |ms| Some(Ran { wants: true, ms }));
    assert!(matches!(finding, Finding::Stuck { .. }));
    assert!((1_000..=1_100).contains(&at_ms), "{at_ms}");
}

#[test]
fn what_the_kernel_says_of_a_thread_is_understood() {
    let line = "4242 (worker-0 (x) R) S 1 4242 4242 0 -1 4194304 900 0 0 0 17 25 0 0 20 0 5 0 1 2 3";
    assert_eq!(Ran::parse(line), Some(Ran { wants: false, ms: 420 }));
    assert_eq!(Ran::parse("nonsense"), None);
    let own = Ran::of(&File::open("/proc/thread-self/stat").unwrap()).unwrap();
    assert!(own.wants, "it is this thread that asks");
}

#[test]
fn a_thread_that_spins_is_seen_to_run() {
    let (send, receive) = std::sync::mpsc::channel();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::spawn(move || {
        send.send(File::open("/proc/thread-self/stat").unwrap()).unwrap();
        while !told.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    let stat = receive.recv().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while Ran::of(&stat).is_none_or(|ran| ran.ms < 50) {
        assert!(Instant::now() < end, "{:?}", Ran::of(&stat));
        std::thread::yield_now();
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}
