//! Ten times the load an origin can bear.

use crate::fault::Fault;
use crate::load::Visits;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::samples::{Class, Samples};
use crate::scene::Scene;
use crate::site::Site;
use crate::verdict::Check;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "flash-crowd",
    title: "A crowd ten times too large",
    replays: Outage {
        whose: "every site that was ever on the evening news",
        when: "any day",
        story: "More visitors come than the application can serve. Each is let in, all of them wait, their answers come \
                after they have given up, and the application is busy with work nobody is waiting for any more. When it is \
                restarted, everyone who waited comes at once.",
    },
    fault: "An origin that can answer 200 requests a second (20 at a time, 100 ms each) gets ten times as many for twelve seconds.",
    load: "100 requests a second, then 2,000, then 100 again; visitors who get no answer in two seconds leave.",
    observed: "Answers within one second, refusals and how quick they are, the origin's own queue, the time after the crowd.",
    pass: "Goodput is at least 90 % of the origin's capacity, everyone else gets a quick 503 with Retry-After, and after the \
           crowd everything is as before within two seconds, without a stampede on the origin.",
    guards: &[Guard::of("admission", "every request is let through to the origin", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// What the origin can do.
const ORIGIN: Behaviour = Behaviour { places: 20, work_ms: 100 };
/// Requests per second before and after the crowd: half of what the origin can do.
const CALM: f64 = 100.0;
/// How long the crowd stays, milliseconds.
const CROWD_MS: u64 = 12_000;
/// How long the edge may take to learn what the origin can do, milliseconds; the goodput is measured after it.
const LEARN_MS: u64 = 3_000;
/// An answer that comes later than this is of no use, milliseconds.
const USEFUL_MS: u64 = 1_000;

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(ORIGIN).await?;
    // Room for everyone, so that only the limit on requests at once stands between the crowd and the origin.
    let pool = format!(
        "[[zone]]\nname = \"a.test\"\ncache = false\n[[zone.pool]]\nname = \"app\"\norigins = [{{ url = \"{}\", max_connections = 20000, max_pending = 20000 }}]",
        origin.url()
    );
    let site = Site::default().zone(pool);
    let edge = scene.install(&site).await?;
    let watch = scene.watch(&edge);
    let mut visits = Visits::to(edge.http, &["a.test"], CALM);
    visits.patience_ms = 2_000;
    let load = scene.load(visits);
    scene.pass(3_000).await;
    let _ = origin.take_peak();

    let crowd_at = scene.mark("fault", "the crowd comes: 2,000 requests a second");
    load.set_rate(ORIGIN.capacity() * 10.0);
    scene.pass(LEARN_MS).await;
    let _ = origin.take_peak();
    scene.pass(CROWD_MS - LEARN_MS).await;
    let peak = origin.take_peak();
    load.set_rate(CALM);
    let gone_at = scene.mark("fault", "the crowd leaves: 100 requests a second");
    scene.pass(500).await;
    let _ = origin.take_peak();
    scene.pass(4_500).await;
    let peak_after = origin.take_peak();
    let odd = load.odd();
    let all = load.end().await;
    let readings = watch.end();

    let crowd = all.between(crowd_at + LEARN_MS, gone_at);
    let seconds = (gone_at - crowd_at - LEARN_MS) as f64 / 1000.0;
    let served = useful(&crowd) as f64 / seconds;
    scene.check(
        Check::at_least(
            "goodput under the crowd, of the origin's capacity",
            90.0,
            Some(served * 100.0 / ORIGIN.capacity()),
            "%",
        )
        .key(),
    );
    scene.check(Check::at_most(
        "p99 of the refusals (503 with Retry-After)",
        250.0,
        crowd.of(Class::Shed).latency_ms(99.0),
        "ms",
    ));
    let neither = crowd.len() - crowd.count(Class::Ok) - crowd.count(Class::Shed);
    scene.check(Check::at_most(
        "requests under the crowd that were neither served nor quickly refused",
        0.1,
        Some(neither as f64 * 100.0 / crowd.len().max(1) as f64),
        "%",
    ));
    scene.check(Check::at_most(
        "p99 of what was served under the crowd",
        USEFUL_MS as f64,
        crowd.of(Class::Ok).latency_ms(99.0),
        "ms",
    ));
    scene.check(Check::at_most(
        "requests at the origin at once under the crowd, of which it works on 20",
        (ORIGIN.places * 3) as f64,
        Some(peak as f64),
        "",
    ));

    let after = all.between(gone_at + 2_000, gone_at + 4_500);
    scene.check(Check::none(
        "requests not served, from two seconds after the crowd",
        after.len() - after.count(Class::Ok),
        after.len(),
    ));
    let before = all.between(crowd_at.saturating_sub(2_000), crowd_at);
    let (p99_before, p99_after) = (before.latency_ms(99.0), after.latency_ms(99.0));
    let ratio = p99_after.zip(p99_before).map(|(after, before)| after / before.max(1.0));
    scene.check(Check::at_most("p99 after the crowd, relative to before", 1.5, ratio, "×"));
    scene.check(Check::at_most(
        "requests at the origin at once, after the crowd",
        (ORIGIN.places * 2) as f64,
        Some(peak_after as f64),
        "",
    ));

    scene.chart_of_steps(
        "Requests let through to the origin at once",
        "",
        vec![
            ("under way", readings.points(|r| r.metric("seawall_origin_outstanding", ""))),
            ("limit", readings.points(|r| r.metric("seawall_origin_concurrency_limit", ""))),
        ],
    );
    scene.keep_load("visitors", &all);
    scene.keep_odd(odd);
    scene.keep_timeline(&edge);
    Ok(())
}

fn useful(samples: &Samples) -> usize {
    samples.all().iter().filter(|s| s.class == Class::Ok && s.latency_us <= USEFUL_MS * 1000).count()
}
