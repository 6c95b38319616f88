//! `seawall demo-origin`: the built-in site, in a process of its own so that the edge fronts a real origin.

use std::net::TcpListener;
use std::time::Duration;

use crate::channel::{Channel, Order, RESUME_FORMAT, Word};
use crate::cli::DemoArgs;
use crate::exit::Exit;
use crate::handover::{self, Inherited};

/// How often the supervisor is told that the site is alive.
const PULSE: Duration = Duration::from_secs(1);
/// How often the supervisor's orders are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Serves the demo site until told to stop.
pub fn run(args: &DemoArgs) -> Exit {
    match serve(args) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("seawall: the demo site: {error}");
            Exit::Failure
        }
    }
}

fn serve(args: &DemoArgs) -> anyhow::Result<()> {
    let inherited = match std::env::var(handover::VARIABLE) {
        Ok(text) => handover::claim(&text)?,
        Err(_) => Inherited::default(),
    };
    let channel = inherited.channel.map(Channel::new).transpose()?;
    let listener = match inherited.demo {
        Some(listener) => listener,
        None => {
            let listener = TcpListener::bind(args.listen)?;
            println!("The demo site is at http://{}/", listener.local_addr()?);
            listener
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let told = async {
            tokio::select! {
                () = signalled() => {}
                () = released(channel) => {}
            }
        };
        seawall_ui::demo::serve(listener, told).await
    })?;
    Ok(())
}

async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Speaks with the supervisor until it says to go, or is gone.
async fn released(channel: Option<Channel>) {
    let Some(mut channel) = channel else { return std::future::pending().await };
    channel.send(&Word::Ready { resume: RESUME_FORMAT, version: env!("CARGO_PKG_VERSION").to_owned() });
    let mut looks = tokio::time::interval(LOOK);
    let mut pulse_at = tokio::time::Instant::now();
    loop {
        looks.tick().await;
        if channel.orders().iter().any(|order| matches!(order, Order::Drain { .. })) || channel.ended() {
            channel.send(&Word::Draining);
            return;
        }
        if tokio::time::Instant::now() >= pulse_at {
            pulse_at += PULSE;
            channel.send(&Word::Alive { age_ms: 0 });
        }
    }
}
