//! Services wired together: from a configuration file (`up` and its parts), or on embedded defaults (`dev`, `demo`).

#[cfg(feature = "dev")]
pub mod demo;
#[cfg(feature = "dev")]
pub mod dev;
pub mod handed;
#[cfg(feature = "serve")]
pub mod up;

#[cfg(any(feature = "gateway", feature = "query"))]
mod admission;
#[cfg(feature = "gateway")]
mod console;
#[cfg(feature = "gateway")]
mod dev_target;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "dev")]
mod more_targets;
#[cfg(feature = "dev")]
mod postgres;
#[cfg(feature = "serve")]
mod readiness;
#[cfg(feature = "serve")]
mod secrets;
#[cfg(feature = "serve")]
mod telemetry;
#[cfg(feature = "serve")]
mod wiring;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Until SIGINT or SIGTERM comes, from the call on. Must be called within the runtime.
pub fn interrupted() -> impl Future<Output = ()> + Send {
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let came = async |stream: std::io::Result<Signal>| match stream {
        Ok(mut stream) => drop(stream.recv().await),
        Err(_) => std::future::pending().await,
    };
    async move {
        tokio::select! {
            () = came(interrupt) => {}
            () = came(terminate) => {}
        }
    }
}

/// Says that the process stops in order. From now on another signal ends it at once, with exit code 130: whoever is
/// still connected is cut. Nothing is lost by that: what passed was on record before it passed.
#[cfg(feature = "serve")]
pub fn end_at_once_on_another_signal() {
    let another = interrupted();
    eprintln!("tallyport: stopping: open sessions drain; another signal ends at once");
    tokio::spawn(async {
        another.await;
        end_at_once();
    });
}

/// The same for a process that stops without a signal: the first only asks for what is under way.
#[cfg(feature = "serve")]
pub fn end_at_once_on_second_signal() {
    let first = interrupted();
    eprintln!("tallyport: stopping: another process has the port, open sessions drain");
    tokio::spawn(async {
        first.await;
        let another = interrupted();
        eprintln!("tallyport: open sessions drain already; another signal ends at once");
        another.await;
        end_at_once();
    });
}

#[cfg(feature = "serve")]
fn end_at_once() {
    eprintln!("tallyport: a second signal: ended at once; open sessions were cut");
    std::process::exit(130);
}
