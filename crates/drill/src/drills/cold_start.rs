//! Starting with everything else gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::changes;
use crate::evidence::Table;
use crate::fault::Fault;
use crate::installation::Installation;
use crate::load::once;
use crate::manifest::{Guard, Manifest, Outage, Outcome};
use crate::origin::{Behaviour, Origin};
use crate::scene::Scene;
use crate::site::{Rollout, Site, zone};
use crate::verdict::{Check, snapshot};

use super::late_poison::wait_for_good;

/// See the module.
pub const MANIFEST: Manifest = Manifest {
    name: "cold-start",
    title: "The morning after, with everything else gone",
    replays: Outage {
        whose: "Facebook, Google, Cloudflare's control plane, and others",
        when: "4 October 2021, 12 June 2025, 2 November 2023",
        story: "What was needed to start again had gone down with the rest: names that only the failed network could resolve, a store \
                in the data centre without power, a service that would not start without the one that was waiting for it. \
                Repairing took minutes, starting took hours.",
    },
    fault: "Power cut, then a start with the newest snapshot cut short, a byte of its content turned, the history damaged, the \
            configuration gone or garbage, a disk that takes no byte, no name that resolves, and combinations of these.",
    load: "Requests to every zone from the moment of the start.",
    observed: "Time to the first answer, which version serves, whether damage is told of.",
    pass: "It serves the newest version that is whole, every time, within five seconds and without anything else.",
    guards: &[Guard::of("last-good", "the newest snapshot is started with, whole or not", &[])],
    run: |scene| -> Outcome<'_> { Box::pin(play(scene)) },
};

/// From the start of the program to the first answer, milliseconds. A debug build on two busy cores takes its time.
const START_MS: u64 = 5_000;

/// A way for the morning to be bad.
struct Morning {
    what: &'static str,
    /// Versions that may serve: the good one, the newer one that was still on trial, or both.
    serves: &'static [&'static str],
    wreck: fn(&Path, &Path) -> std::io::Result<()>,
    wrapper: &'static [&'static str],
}

const FULL_DISK: &[&str] = &["/bin/sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""];

const MORNINGS: [Morning; 9] = [
    Morning { what: "nothing is damaged", serves: &["good", "newest"], wreck: |_, _| Ok(()), wrapper: &[] },
    Morning {
        what: "the newest snapshot is cut short",
        serves: &["good"],
        wreck: |data, _| cut(data, ".json"),
        wrapper: &[],
    },
    Morning {
        what: "content of the newest snapshot is damaged",
        serves: &["good"],
        wreck: |data, _| turn(data, ".pack"),
        wrapper: &[],
    },
    Morning {
        what: "the history is damaged",
        serves: &["good", "newest"],
        wreck: |data, _| std::fs::write(data.join("snapshots/history.json"), b"{\"entr"),
        wrapper: &[],
    },
    Morning {
        what: "the configuration file is gone",
        serves: &["good", "newest"],
        wreck: |_, config| std::fs::remove_file(config),
        wrapper: &[],
    },
    Morning {
        what: "the configuration file is garbage",
        serves: &["good", "newest"],
        wreck: |_, config| std::fs::write(config, b"[[zone\nname = "),
        wrapper: &[],
    },
    Morning {
        what: "the disk takes not one byte",
        serves: &["good", "newest"],
        wreck: |_, _| Ok(()),
        wrapper: FULL_DISK,
    },
    Morning {
        what: "the newest snapshot is cut short, the configuration is gone, the disk is full",
        serves: &["good"],
        wreck: |data, config| cut(data, ".json").and_then(|()| std::fs::remove_file(config)),
        wrapper: FULL_DISK,
    },
    Morning {
        what: "no socket, lock or half-written file is as it should be",
        serves: &["good", "newest"],
        wreck: |data, _| {
            std::fs::write(data.join("snapshots/0000000099.json"), b"{}")?;
            std::fs::write(data.join("overlay.json"), b"\0\0\0")?;
            std::fs::write(data.join("timeline.jsonl"), b"\0{\"unix_ms\":\n")
        },
        wrapper: &[],
    },
];

async fn play(scene: &mut Scene) -> Result<(), Fault> {
    let origin = Origin::start(Behaviour::default()).await?;
    let site = |generation: &str, soak_ms: u64| {
        let route =
            format!("[[zone.route]]\nresponse_headers = {{ set = {{ X-Generation = \"{generation}\" }} }}");
        Site::default()
            .rollout(Rollout { hold_ms: 200, requests: 10, soak_ms })
            .zone(zone("a.test", &origin.url(), "cache = false", &route))
            // A name that nothing resolves, in a network without names.
            .zone(zone("unresolvable.test", "http://origin.invalid", "cache = false", ""))
    };
    let mut edge = scene.prepare(&site("good", 500))?;
    let data_dir = edge.data_dir.to_string_lossy().into_owned();
    edge.arguments(&["--data-dir", &data_dir]);
    edge.start().await?;
    let good = wait_for_good(scene, &edge, 8_000).await;
    scene.check(Check::holds("a good snapshot to go back to", "good", good.is_some(), snapshot(good)));
    edge.write(&site("newest", 600_000))?;
    let ended = changes::apply(scene, &edge, &[]).await?;
    scene.check(Check::holds("a newer one, still on trial", "adopted", ended.adopted(), ended.told()));
    scene.mark("fault", "a power cut");
    edge.kill();
    let kept = Kept::of(&edge)?;

    let (mut rows, mut wrong, mut slowest) = (Vec::new(), 0, 0);
    for morning in &MORNINGS {
        kept.restore(&edge)?;
        (morning.wreck)(&edge.data_dir, &edge.config).map_err(Fault::file(&edge.data_dir))?;
        scene.mark("fault", format!("start: {}", morning.what));
        let (row, right, took_ms) = start(scene, &mut edge, morning).await?;
        wrong += usize::from(!right);
        slowest = slowest.max(took_ms.unwrap_or(START_MS * 2));
        rows.push((row, right));
    }
    scene.check(
        Check::none("bad mornings after which it did not serve what it should", wrong, rows.len()).key(),
    );
    scene.check(Check::at_most(
        "slowest start, to the first answer",
        START_MS as f64,
        Some(slowest as f64),
        "ms",
    ));
    scene.table(Table {
        title: "Bad mornings".to_owned(),
        head: ["What was wrong", "Serves", "First answer after", "Told"].map(str::to_owned).to_vec(),
        rows,
    });
    scene.keep_timeline(&edge);
    Ok(())
}

async fn start(
    scene: &Scene,
    edge: &mut Installation,
    morning: &Morning,
) -> Result<(Vec<String>, bool, Option<u64>), Fault> {
    let began = scene.now_ms();
    let told_before = edge.timeline().len();
    edge.launch(morning.wrapper)?;
    let mut answer = None;
    while scene.now_ms() < began + START_MS * 2 && answer.is_none() {
        if edge.ended().is_some() {
            break;
        }
        answer = once(edge.http, "a.test", "/", &[], Duration::from_secs(2))
            .await
            .ok()
            .filter(|answer| answer.of_origin);
        scene.pass(20).await;
    }
    let took_ms = answer.as_ref().map(|_| scene.now_ms() - began);
    let serves =
        answer.as_ref().and_then(|answer| answer.field("x-generation")).unwrap_or("nothing").to_owned();
    // The zone whose origin has no name answers with an error page of its own, and no other zone notices.
    let beside = once(edge.http, "unresolvable.test", "/", &[], Duration::from_secs(8))
        .await
        .map(|answer| answer.status);
    let told = edge
        .timeline()
        .into_iter()
        .skip(told_before)
        .find(|event| event.kind == "alert" || event.kind == "started");
    let ended = edge.ended().map_or(String::new(), |how| format!("ended: {how}"));
    edge.kill();
    let right = morning.serves.contains(&serves.as_str()) && beside.is_ok();
    let row = vec![
        morning.what.to_owned(),
        serves,
        took_ms.map_or_else(|| format!("never {ended}"), |ms| format!("{ms} ms")),
        told.map_or_else(String::new, |event| event.text),
    ];
    Ok((row, right, took_ms))
}

/// The state after the power cut, to begin each morning with.
struct Kept {
    data: PathBuf,
    config: Vec<u8>,
}

impl Kept {
    fn of(edge: &Installation) -> Result<Self, Fault> {
        let data = edge.folder().join("kept");
        copy(&edge.data_dir, &data).map_err(Fault::file(&data))?;
        Ok(Self { data, config: std::fs::read(&edge.config).map_err(Fault::file(&edge.config))? })
    }

    fn restore(&self, edge: &Installation) -> Result<(), Fault> {
        // The timeline goes on: it is what the report shows.
        let timeline = std::fs::read(edge.data_dir.join("timeline.jsonl")).unwrap_or_default();
        std::fs::remove_dir_all(&edge.data_dir).map_err(Fault::file(&edge.data_dir))?;
        copy(&self.data, &edge.data_dir).map_err(Fault::file(&edge.data_dir))?;
        std::fs::write(edge.data_dir.join("timeline.jsonl"), timeline)
            .map_err(Fault::file(&edge.data_dir))?;
        std::fs::write(&edge.config, &self.config).map_err(Fault::file(&edge.config))
    }
}

/// Copies files and folders; sockets are made anew.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The newest file with this ending under the snapshots.
fn newest(data: &Path, ending: &str) -> std::io::Result<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![data.join("snapshots")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if name.ends_with(ending) && name.starts_with(|c: char| c.is_ascii_digit()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found.pop().ok_or_else(|| std::io::Error::other(format!("no snapshot file ends with {ending}")))
}

/// Cuts the newest such file to half its length.
fn cut(data: &Path, ending: &str) -> std::io::Result<()> {
    let path = newest(data, ending)?;
    let bytes = std::fs::read(&path)?;
    std::fs::write(&path, bytes.get(..bytes.len() / 2).unwrap_or_default())
}

/// Turns a byte in the middle of the newest such file.
fn turn(data: &Path, ending: &str) -> std::io::Result<()> {
    let path = newest(data, ending)?;
    let mut bytes = std::fs::read(&path)?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x20;
    }
    std::fs::write(&path, bytes)
}
